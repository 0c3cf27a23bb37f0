//! Questions to an index, without naming a backend: documents in whose words a text is found and that meet conditions, in an order, page
//! by page, with counts over all of them.

use async_trait::async_trait;
use serde_json::json;

use super::index::SearchIndex;
use super::query::{Condition, Direction, Page, Row, place_text, read_place};
use super::read_models::ReadError;
use super::rows::{ColumnKind, Value};

/// A question to an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The index.
    pub index: &'static SearchIndex,
    /// Whose documents.
    pub tenant: String,
    /// What is looked for in the index's columns of words: every word must be found somewhere, with typing errors tolerated. All
    /// documents for an empty one.
    pub text: String,
    /// All of them hold; each is of one of the index's filters.
    pub conditions: Vec<Condition>,
    /// Whether the best match comes first; then `order` only decides between equal ones.
    pub best_first: bool,
    /// The order, of columns that the index names for it; it ends in what tells any two documents apart.
    pub order: Vec<(&'static str, Direction)>,
    /// Columns whose values are counted over all matches.
    pub facets: &'static [&'static str],
    /// What cursors of this list are bound to.
    pub list: &'static str,
    /// The page.
    pub page: Page,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The rows of the page.
    pub rows: Vec<Row>,
    /// [`Page::after`] of the next page.
    pub next: Option<String>,
    /// How many documents match.
    pub total: u64,
    /// By facet, (value, how many of the matches have it), most first, then by value.
    pub facets: Vec<Vec<(String, u64)>>,
}

/// Where a page begins: behind a place in a view of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// What the backend calls the view.
    pub view: String,
    /// The values of the order's columns; before them, where the best match comes first, a number for the score.
    pub place: Vec<Value>,
}

impl Search {
    /// Where the page begins, if it isn't the first one.
    ///
    /// # Errors
    /// [`ReadError::BadCursor`] when the page goes on with another list.
    pub fn after(&self) -> Result<Option<After>, ReadError> {
        let Some(cursor) = &self.page.after else { return Ok(None) };
        let (view, place): (String, String) =
            serde_json::from_str(cursor).map_err(|_| ReadError::BadCursor)?;
        let score = self.best_first.then_some(Some(ColumnKind::Int));
        let columns =
            self.order.iter().map(|(column, _)| self.index.table.column(column).map(|(_, kind)| kind));
        let kinds: Vec<_> = score.into_iter().chain(columns).collect();
        Ok(Some(After { view, place: read_place(self.list, &place, &kinds)? }))
    }

    /// The cursor of a page of a view that ends at a place.
    #[must_use]
    pub fn cursor(&self, view: &str, end: &[Value]) -> String {
        json!([view, place_text(self.list, end)]).to_string()
    }
}

/// The indices that queries ask.
#[async_trait]
pub trait TextSearch: Send + Sync + 'static {
    /// The documents that a question asks for. The pages of one search are of one view of the index: what changes meanwhile neither
    /// doubles nor loses a row. A view that isn't kept any more is [`ReadError::Expired`] where the best match comes first; in other
    /// orders the page goes on behind the last row.
    ///
    /// # Errors
    /// [`ReadError::BadCursor`], [`ReadError::Expired`], [`ReadError::NotLive`], [`ReadError::Overloaded`], [`ReadError::Unavailable`].
    async fn search(&self, search: &Search) -> Result<Found, ReadError>;
}
