//! The simulators: a payment provider and a carrier that keep books of their own, in `simulator.db`, outside everything that
//! Tillstream writes. So what was charged, and how often, can be checked from outside.
//!
//! Payment methods: `tok_visa` is captured; `tok_declined` and `tok_insufficient_funds` are declined;
//! `tok_timeout_captured` is captured but the reply is lost; `tok_timeout_lost` is lost altogether; `tok_slow` is authorised at
//! once and captured by itself some seconds later; `tok_refused` is refused for good, which is no decline ("amount not acceptable").
//! Any other token is declined as unknown. The carrier refuses the country `AQ`, and carries everywhere else. [`switches`] take
//! either of them away, or have them refuse.

mod books;
mod carrier;
pub mod http;
pub(crate) mod nearby;
mod payments;
pub mod switches;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::money::Money;
use domain::ports::clock::Clock;
use rusqlite::{Connection, TransactionBehavior};
use sagas::fulfilment::ports::ProviderError;

use self::books::Books;
use crate::sqlite::{as_path, names_are_names};

/// The file in the data directory.
pub const SIMULATOR_FILE: &str = "simulator.db";

const SCHEMA_VERSION: i64 = 2;

/// How the simulated provider behaves. Nothing else of it takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatorConfig {
    /// How long a caller waits for a reply that is lost.
    pub lost_reply: Duration,
    /// How long a slow charge stays authorised before it is captured.
    pub slow_capture: Duration,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self { lost_reply: Duration::from_secs(1), slow_capture: Duration::from_secs(3) }
    }
}

/// Why the simulators' books can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenSimulatorError {
    /// A newer program made the file.
    #[error("{} has layout {found}, which this program doesn't know: use a newer tillstream", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its layout.
        found: i64,
    },
    /// The file can't be read or written.
    #[error("{}: {source}", file.display())]
    Storage {
        /// The file.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// There is no thread for the books.
    #[error("{}: {source}", file.display())]
    Thread {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A charge in the provider's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRow {
    /// Its place in the books, from 1.
    pub seq: i64,
    /// The provider's own id; the payment's `provider_reference`.
    pub id: String,
    /// The payment.
    pub payment_id: String,
    /// The order.
    pub order_id: String,
    /// What was to be charged.
    pub amount: Money,
    /// `authorized`, `captured`, `declined`, `voided`, `partially_refunded`, `refunded`.
    pub status: &'static str,
    /// What was taken.
    pub captured: Money,
    /// What went back.
    pub refunded: Money,
}

/// The payment provider and the carrier. Cheap to clone; clones share the books.
#[derive(Clone)]
pub struct Simulator(Arc<SimulatorShared>);

struct SimulatorShared {
    books: Books,
    config: SimulatorConfig,
    /// The books of the carrier, where they are others.
    carrier: OnceLock<Simulator>,
}

impl Simulator {
    /// Opens the books in a directory, and makes them when there are none.
    ///
    /// # Errors
    /// [`OpenSimulatorError`].
    pub fn open(
        dir: &Path,
        clock: Arc<dyn Clock>,
        config: SimulatorConfig,
    ) -> Result<Self, OpenSimulatorError> {
        let file = dir.join(SIMULATOR_FILE);
        let storage = |source| OpenSimulatorError::Storage { file: file.clone(), source };
        let (conn, found) = open(&file).map_err(storage)?;
        if found != SCHEMA_VERSION {
            return Err(OpenSimulatorError::Newer { file, found });
        }
        let books = Books::open(conn, clock).map_err(|source| OpenSimulatorError::Thread { file, source })?;
        Ok(Self(Arc::new(SimulatorShared { books, config, carrier: OnceLock::new() })))
    }

    /// Says which carrier goes with this provider.
    pub fn ships_with(&self, carrier: &Self) {
        if !Arc::ptr_eq(&self.0, &carrier.0) {
            self.0.carrier.get_or_init(|| carrier.clone());
        }
    }

    /// The carrier that goes with this provider.
    #[must_use]
    pub fn carrier(&self) -> &Self {
        self.0.carrier.get().unwrap_or(self)
    }

    /// The charges after a place in the books (0 for the first), in order.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`].
    pub async fn charges(&self, after: i64, limit: usize) -> Result<Vec<ChargeRow>, ProviderError> {
        self.run(move |tx, now| payments::list(tx, after, limit, now)).await
    }

    /// Runs a job on the thread of the books: as with a real provider, a caller that stops waiting doesn't stop what was asked for. The
    /// answer comes when it is on disk. The job gets the time in microseconds since 1970.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, i64) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ProviderError> {
        self.0.books.run(job).await
    }
}

/// An error of a job; storage errors become [`ProviderError::Unavailable`].
struct Failure(ProviderError);

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self(ProviderError::Unavailable(format!("{SIMULATOR_FILE}: {error}")))
    }
}

fn open(file: &Path) -> rusqlite::Result<(Connection, i64)> {
    let mut conn = Connection::open(as_path(file))?;
    names_are_names(&conn)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    let version = |conn: &Connection| conn.query_row("PRAGMA user_version", [], |row| row.get(0));
    if version(&conn)? == 0 {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process that shares the books may have made them meanwhile.
        if version(&tx)? == 0 {
            tx.execute_batch(include_str!("sql/schema.sql"))?;
        }
        tx.commit()?;
    }
    if version(&conn)? == 1 {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version(&tx)? == 1 {
            tx.execute_batch(include_str!("sql/migrate_2.sql"))?;
        }
        tx.commit()?;
    }
    let found = version(&conn)?;
    Ok((conn, found))
}
