//! Connections to one PostgreSQL database.

use std::time::Duration;

use projections::engine::store::StoreError;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::url::PostgresUrl;

/// Connections of one process that write; queries have their own, so they can't take these.
const WRITERS: u32 = 8;
/// How long to wait for a free connection.
const ACQUIRE: Duration = Duration::from_secs(10);
/// Statements that a connection keeps prepared: one per shape of a change, and there are some dozens.
const STATEMENTS: usize = 512;
/// The server ends a transaction whose client says nothing for so long: a paused process must not hold locks.
const IDLE_IN_TRANSACTION: &str = "15s";
/// The server gives up a query that takes longer, so that a few slow ones don't hold all connections. What reads whole tables lifts it
/// (see `read_store::unhurried`).
const QUERY: &str = "15s";

/// A database and the schema in it. Cheap to clone; unqualified names in statements mean the schema.
#[derive(Debug, Clone)]
pub struct Database {
    reads: PgPool,
    writes: PgPool,
    url: PostgresUrl,
}

impl Database {
    /// Connects, to tell early whether it can.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn connect(url: &PostgresUrl) -> Result<Self, StoreError> {
        let options = options(url)?;
        let database = Self {
            reads: pool(url.connections())
                .connect_lazy_with(options.clone().options([("statement_timeout", QUERY)])),
            writes: pool(WRITERS).connect_lazy_with(options),
            url: url.clone(),
        };
        let connected = database.reads.acquire().await;
        connected.map_err(|e| StoreError::Unavailable(format!("{url}: {e}")))?;
        Ok(database)
    }

    /// The same database through connections whose commits wait for no disk: for rows that are built anew when they are lost.
    pub(super) fn unsynced(&self) -> Result<Self, StoreError> {
        let options = options(&self.url)?.options([("synchronous_commit", "off")]);
        let writes = pool(WRITERS).connect_lazy_with(options);
        Ok(Self { reads: self.reads.clone(), writes, url: self.url.clone() })
    }

    /// For queries.
    #[must_use]
    pub fn reads(&self) -> &PgPool {
        &self.reads
    }

    /// For what changes rows.
    #[must_use]
    pub fn writes(&self) -> &PgPool {
        &self.writes
    }

    /// The schema that holds what readers see. A plain name: it needs no quotes.
    #[must_use]
    pub fn schema(&self) -> &str {
        self.url.schema()
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &PostgresUrl {
        &self.url
    }

    /// The channel that is notified whenever checkpoints moved, in the transaction that moved them.
    #[must_use]
    pub fn checkpoint_channel(&self) -> String {
        format!("{}_checkpoints", self.schema())
    }

    /// The name that this schema's connections show in `pg_stat_activity`.
    #[must_use]
    pub fn application_name(&self) -> String {
        self.url.application_name()
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.reads.close().await;
        self.writes.close().await;
    }
}

fn options(url: &PostgresUrl) -> Result<PgConnectOptions, StoreError> {
    let options = url.options().map_err(|e| StoreError::Unavailable(e.to_string()))?;
    Ok(options
        .statement_cache_capacity(STATEMENTS)
        .options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION)])
        .disable_statement_logging())
}

fn pool(size: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE)
}
