//! Events, for auditors.

use projections::audit::events::within;
use projections::engine::events::{EventFilter, EventPage};
use projections::engine::query::View;
use rusqlite::Connection;
use rusqlite::types::Type;

use super::rows;
use crate::event_scan::EventScan;

/// Window by window, so that a page costs a bounded amount.
pub(super) fn matching(
    conn: &Connection,
    tenant: &str,
    filter: &EventFilter,
    mut scan: EventScan,
) -> rusqlite::Result<EventPage> {
    while let Some((window, limit)) = scan.window() {
        let found = rows::select(conn, &within(tenant, filter, window.shard, window.positions(), limit))?;
        let events = found.iter().map(|row| {
            View::of_row(row)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
        });
        scan.took(window, events.collect::<Result<_, _>>()?);
    }
    Ok(scan.page())
}
