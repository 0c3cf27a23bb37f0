//! What an index is called on Elasticsearch, and its settings and mappings, read from its declaration.

use std::sync::Arc;

use projections::engine::index::{Form, SearchIndex};
use projections::engine::model::Projection;
use projections::engine::store::StoreError;
use sha2::{Digest, Sha256};

use super::url::ElasticsearchUrl;

/// The field `doc_type` of a checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// The fields that every index has, for its documents and their checkpoints.
const COMMON: [(&str, &str); 6] = [
    ("doc_type", r#"{ "type": "keyword" }"#),
    ("projection", r#"{ "type": "keyword" }"#),
    ("shard", r#"{ "type": "integer" }"#),
    ("position", r#"{ "type": "long" }"#),
    ("frame", r#"{ "type": "long", "index": false }"#),
    ("frame_hash", r#"{ "type": "keyword", "index": false }"#),
];

/// The index that a projection fills.
pub(super) fn index_of(documents: &Arc<dyn Projection>) -> Result<&'static SearchIndex, StoreError> {
    let none = || StoreError::Unavailable(format!("there is no search index for {}", documents.name()));
    documents.index().ok_or_else(none)
}

/// The indices that projections fill.
pub(super) fn indices(documents: &[Arc<dyn Projection>]) -> impl Iterator<Item = &'static SearchIndex> {
    documents.iter().filter_map(|documents| documents.index())
}

/// An index on Elasticsearch.
pub(super) trait Mapped {
    /// The alias that readers use.
    fn alias(&self, url: &ElasticsearchUrl) -> String;

    /// The alias that programs with a definition search through: it names the live index if that is of this definition, so that nobody
    /// asks an index whose fields mean something else.
    fn searched(&self, url: &ElasticsearchUrl, definition: &str) -> String;

    /// Settings and mappings, JSON. An index is known by these bytes: others need another index.
    fn definition(&self) -> String;

    /// Names the definition.
    fn definition_digest(&self) -> String {
        let hash = Sha256::digest(self.definition().as_bytes());
        hex::encode(&hash[..8])
    }
}

impl Mapped for SearchIndex {
    fn alias(&self, url: &ElasticsearchUrl) -> String {
        format!("{}-{}", url.prefix(), self.name)
    }

    fn searched(&self, url: &ElasticsearchUrl, definition: &str) -> String {
        format!("{}-as-{definition}", self.alias(url))
    }

    fn definition(&self) -> String {
        let mut fields: Vec<(String, String)> =
            COMMON.map(|(name, form)| (name.to_owned(), form.to_owned())).into();
        for (name, kind) in self.table.columns() {
            // A document's shard is where its event is, as a checkpoint's is.
            if !COMMON.iter().any(|(common, _)| *common == name) {
                fields.push((name.to_string(), mapping(self.form(&name, kind))));
            }
        }
        let fields = properties(&fields, 6);
        format!(
            r#"{{
  "settings": {{ "number_of_shards": 1, "refresh_interval": "1s" }},
  "mappings": {{
    "dynamic": "strict",
    "properties": {{
{fields}
    }}
  }}
}}
"#
        )
    }
}

/// One field in a line.
fn properties(fields: &[(String, String)], indent: usize) -> String {
    let lines = fields.iter().map(|(name, form)| format!("{:indent$}\"{name}\": {form}", ""));
    lines.collect::<Vec<_>>().join(",\n")
}

fn mapping(form: Form) -> String {
    let leaf = match form {
        Form::Keyword => r#"{ "type": "keyword" }"#,
        Form::Number => r#"{ "type": "long" }"#,
        Form::Short => r#"{ "type": "integer" }"#,
        Form::Flag => r#"{ "type": "boolean" }"#,
        Form::Instant => r#"{ "type": "date_nanos", "format": "strict_date_optional_time_nanos" }"#,
        Form::Words(_) => r#"{ "type": "text", "analyzer": "whitespace", "index_options": "positions" }"#,
        Form::Prose => r#"{ "type": "text", "norms": false }"#,
        Form::Shown => r#"{ "type": "keyword", "index": false, "doc_values": false }"#,
        Form::Objects(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, form)| ((*name).to_owned(), mapping(*form))).collect();
            let fields = properties(&fields, 10);
            return format!("{{\n        \"properties\": {{\n{fields}\n        }}\n      }}");
        }
    };
    leaf.to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::shop;

    /// The files are there for operators to read. `UPDATE_MAPPINGS=1 cargo test -p infra mappings` writes them; an index of other bytes
    /// is built anew.
    // proves: CAT-2, QRY-2
    #[test]
    fn the_mappings_in_the_folder_are_those_of_the_declarations() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/elasticsearch");
        let indices: Vec<_> =
            shop::projections().documents.iter().filter_map(|documents| documents.index()).collect();
        for index in &indices {
            assert_eq!(index.table.groups.len(), 1, "one source stream per document");
            let (file, definition) = (folder.join(format!("{}.json", index.name)), index.definition());
            if std::env::var_os("UPDATE_MAPPINGS").is_some() {
                std::fs::write(&file, &definition).unwrap();
            }
            let found = std::fs::read_to_string(&file).unwrap();
            assert_eq!(found, definition, "{} is not what its declaration says: see this test", index.name);
            serde_json::from_str::<serde_json::Value>(&definition).unwrap();
        }
        let files = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
        let mappings = files.filter(|file| file.path().extension().is_some_and(|ext| ext == "json"));
        assert_eq!(mappings.count(), indices.len());
    }
}
