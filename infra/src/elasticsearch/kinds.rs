//! The three kinds of indices.

use projections::audit::documents::SEARCH_EVENTS;
use projections::catalogue::documents::SEARCH_PRODUCTS;
use projections::engine::rows::{Column, Table};
use projections::ordering::documents::SEARCH_ORDERS;
use sha2::{Digest, Sha256};

use super::url::ElasticsearchUrl;

/// A kind of index: what it is called and what it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The projection that fills it.
    pub(super) projection: &'static str,
    /// Its name after the prefix.
    pub(super) name: &'static str,
    /// The field `doc_type` of its documents.
    pub(super) doc_type: &'static str,
    /// What its documents are rows of; it has one group.
    pub(super) table: &'static Table,
    /// Which JSON columns are objects in the document; the others are their exact text.
    pub(super) objects: &'static [&'static str],
    /// Whether a document never changes: then the index gets another part when it is large.
    pub(super) only_grows: bool,
    /// Settings and mappings, JSON.
    pub(super) definition: &'static str,
}

/// The field `doc_type` of a checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";

static KINDS: [Kind; 3] = [
    Kind {
        projection: "search",
        name: "products",
        doc_type: "product",
        table: &SEARCH_PRODUCTS,
        objects: &[],
        only_grows: false,
        definition: include_str!("products.json"),
    },
    Kind {
        projection: "search-orders",
        name: "orders",
        doc_type: "order",
        table: &SEARCH_ORDERS,
        objects: &["lines"],
        only_grows: false,
        definition: include_str!("orders.json"),
    },
    Kind {
        projection: "search-events",
        name: "events",
        doc_type: "event",
        table: &SEARCH_EVENTS,
        objects: &[],
        only_grows: true,
        definition: include_str!("events.json"),
    },
];

impl Kind {
    /// The kind that a projection fills.
    pub(super) fn of(projection: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.projection == projection)
    }

    /// All kinds.
    pub(super) fn all() -> &'static [Self] {
        &KINDS
    }

    /// The products.
    pub(super) fn products() -> &'static Self {
        &KINDS[0]
    }

    /// The alias that readers use.
    pub(super) fn alias(&self, url: &ElasticsearchUrl) -> String {
        format!("{}-{}", url.prefix(), self.name)
    }

    /// The alias that programs with a definition search through: it names the live index if that is of this definition, so that nobody
    /// asks an index whose fields mean something else.
    pub(super) fn searched(&self, url: &ElasticsearchUrl, definition: &str) -> String {
        format!("{}-as-{definition}", self.alias(url))
    }

    /// Names the definition: another one needs another index.
    pub(super) fn definition_digest(&self) -> String {
        let hash = Sha256::digest(self.definition.as_bytes());
        hex::encode(&hash[..8])
    }

    /// The columns that are not part of the key.
    pub(super) fn columns(&self) -> impl Iterator<Item = &'static Column> {
        self.table.groups.iter().flat_map(|group| group.columns)
    }

    /// The field of the source stream's version.
    pub(super) fn version_field(&self) -> String {
        format!("{}_version", self.table.groups[0].name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_document_is_mapped_and_nothing_else() {
        for kind in &KINDS {
            assert_eq!(kind.table.groups.len(), 1, "one source stream per document");
            let definition: serde_json::Value = serde_json::from_str(kind.definition).unwrap();
            assert_eq!(definition["mappings"]["dynamic"], "strict");
            let mapped = definition["mappings"]["properties"].as_object().unwrap();
            let mut fields: Vec<String> = kind.table.key.iter().map(|c| c.name.to_owned()).collect();
            fields.extend(kind.columns().map(|c| c.name.to_owned()));
            fields.push(kind.version_field());
            fields.extend(
                ["doc_type", "projection", "shard", "position", "frame", "frame_hash"].map(str::to_owned),
            );
            fields.sort();
            fields.dedup();
            assert_eq!(
                mapped
                    .keys()
                    .cloned()
                    .collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .collect::<Vec<_>>(),
                fields
            );
        }
    }
}
