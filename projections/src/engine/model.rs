//! What a projection is.

use domain::event::RecordedEvent;
use domain::upcast::DecodeError;

use crate::engine::index::SearchIndex;
use crate::engine::rows::{RowChange, Table};

/// The statements that make the secondary indexes of a projection's tables.
#[must_use]
pub fn create_indexes(projection: &dyn Projection) -> String {
    projection.tables().iter().map(|table| table.create_indexes()).collect()
}

/// A named, versioned, pure mapping from events to row changes.
pub trait Projection: Send + Sync + 'static {
    /// Its name, `orders`; unique, stable, on the wire and in metrics.
    fn name(&self) -> &'static str;

    /// Grows when the mapping or the tables change: the read model is then rebuilt.
    fn version(&self) -> u32;

    /// Its tables.
    fn tables(&self) -> &'static [&'static Table];

    /// How its rows are found, if they are documents of an index: these are of one table.
    fn index(&self) -> Option<&'static SearchIndex> {
        None
    }

    /// The changes that an event makes; none for an event that it doesn't read. Pure.
    ///
    /// # Errors
    /// A deterministic failure: the event can't be decoded or mapped. The stream is parked.
    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError>;
}
