//! Indices: how the rows of a table are found by their text. An index is declared once, beside its table; every backend reads from the
//! declaration what it makes of it.

use super::rows::{Column, ColumnKind, Table};

/// An index whose documents are the rows of a table.
#[derive(Debug)]
pub struct SearchIndex {
    /// What it is called, `products`; after a prefix where there are indices of others.
    pub name: &'static str,
    /// What a document is called: `product`.
    pub document: &'static str,
    /// The projection that fills it.
    pub projection: &'static str,
    /// What its documents are rows of; it has one group, and a tenant.
    pub table: &'static Table,
    /// Who asks it.
    pub asked_by: AskedBy,
    /// Whether a document never changes. Elasticsearch then begins another part when an index is large.
    pub only_grows: bool,
    /// What is held in another form than the column's kind says. Words are looked for in this order.
    pub forms: &'static [(&'static str, Form)],
    /// The column that is false in documents that are found; where it isn't, the document is a tombstone.
    pub gone: Option<&'static str>,
    /// Columns that conditions name, beside the tenant.
    pub filters: &'static [&'static str],
    /// Columns that orders name.
    pub orders: &'static [&'static str],
    /// Columns whose values are counted.
    pub facets: &'static [&'static str],
}

/// There is one declaration of an index: the same one is the same, and is found without reading all that it says.
impl PartialEq for SearchIndex {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// Who asks an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy {
    /// This program's queries: every family of backends has the index.
    Queries,
    /// People with tools of their own: only backends that such tools can ask have it, which is Elasticsearch. The lists of what is
    /// looked for are no bounds to them.
    Analysts,
}

/// How an index holds the values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// Compared as a whole: texts and ids.
    Keyword,
    /// A number.
    Number,
    /// A number of 32 bits.
    Short,
    /// True or false.
    Flag,
    /// An instant.
    Instant,
    /// Words that the projection folded, with spaces between them: what a text is looked for in. A match weighs so much.
    Words(f32),
    /// A text whose words are found as they stand.
    Prose,
    /// Only shown.
    Shown,
    /// JSON objects with these fields. Other JSON is its exact text.
    Objects(&'static [(&'static str, Form)]),
}

impl SearchIndex {
    /// An index for analysts; they look for whatever they like.
    #[must_use]
    pub const fn for_analysts(
        name: &'static str,
        document: &'static str,
        projection: &'static str,
        table: &'static Table,
    ) -> Self {
        Self {
            name,
            document,
            projection,
            table,
            asked_by: AskedBy::Analysts,
            only_grows: false,
            forms: &[],
            gone: None,
            filters: &[],
            orders: &[],
            facets: &[],
        }
    }

    /// The columns that are not part of the key.
    pub fn columns(&self) -> impl Iterator<Item = &'static Column> + use<> {
        self.table.groups.iter().flat_map(|group| group.columns)
    }

    /// The field of the source stream's version.
    #[must_use]
    pub fn version_field(&self) -> String {
        format!("{}_version", self.table.groups[0].name)
    }

    /// How a column is held.
    #[must_use]
    pub fn form(&self, column: &str, kind: ColumnKind) -> Form {
        let declared = self.forms.iter().find(|(name, _)| *name == column);
        declared.map_or(
            match kind {
                ColumnKind::Text | ColumnKind::Uuid => Form::Keyword,
                ColumnKind::Int => Form::Number,
                ColumnKind::Bool => Form::Flag,
                ColumnKind::Time => Form::Instant,
                ColumnKind::Json => Form::Shown,
            },
            |(_, form)| *form,
        )
    }

    /// The columns of words, with what a match in them weighs.
    pub fn words(&self) -> impl Iterator<Item = (&'static str, f32)> + use<> {
        self.forms.iter().filter_map(|(name, form)| match form {
            Form::Words(weight) => Some((*name, *weight)),
            _ => None,
        })
    }
}
