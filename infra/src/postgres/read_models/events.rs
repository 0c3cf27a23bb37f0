//! Events, for auditors.

use projections::audit::events::within;
use projections::engine::events::{EventFilter, EventPage};
use projections::engine::query::View;
use sqlx::postgres::PgConnection;

use super::rows;
use super::sql::Query;
use crate::event_scan::EventScan;
use crate::read_sql::{Dialect, Statement};

/// Window by window, so that a page costs a bounded amount. `None` when even the first one took too long.
pub(super) async fn matching(
    conn: &mut PgConnection,
    tenant: &str,
    filter: &EventFilter,
    mut scan: EventScan,
) -> sqlx::Result<Option<EventPage>> {
    sqlx::query(WINDOW_TIME).execute(&mut *conn).await?;
    while let Some((window, limit)) = scan.window() {
        let select = within(tenant, filter, window.shard, window.positions(), limit);
        match Query::of(Statement::select(&select, Dialect::Postgres)).rows(conn).await {
            Ok(found) => {
                let event = |found| {
                    View::of_row(&rows::row(found, &select)?)
                        .map_err(|error| sqlx::Error::Decode(error.into()))
                };
                scan.took(window, found.iter().map(event).collect::<sqlx::Result<_>>()?);
            }
            // The transaction is over with it, and so is the page.
            Err(error) if took_too_long(&error) => {
                return Ok(scan.gave_up(window).then(|| scan.page()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(scan.page()))
}

/// How long one window may take.
const WINDOW_TIME: &str = "SET LOCAL statement_timeout = '3s'";

/// `canceling statement due to statement timeout`
fn took_too_long(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57014")
}
