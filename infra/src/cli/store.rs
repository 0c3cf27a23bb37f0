//! Opening a store for an operator's command.

use std::sync::Arc;

use domain::ports::log::{EventLog, LogReader as _};
use domain::position::Position;

use crate::backends::beside::{expect_log, expect_store, refuse_others};
use crate::cassandra::CassandraLog;
use crate::config::{Config, Embedded, Family};
use crate::data_dir::{DataDir, DataDirError};
use crate::sqlite::log::{OpenError, SqliteLog};

/// An open log, and the directories' locks unless a running server holds them.
pub(super) struct Store {
    pub(super) log: Arc<dyn EventLog>,
    _locks: Vec<DataDir>,
}

/// What opening told.
pub(super) enum Opened {
    Store(Store),
    /// The log lost what it had: known without reading it.
    Fault(Position, String),
}

/// Opens the store for reading, also beside running servers.
pub(super) async fn for_reading(config: &Config) -> anyhow::Result<Opened> {
    match config.family()? {
        Family::Embedded(places) => embedded(places),
        Family::Distributed(urls) => {
            let log = Arc::new(CassandraLog::open(urls.log).await?);
            Ok(Opened::Store(Store { log, _locks: Vec::new() }))
        }
    }
}

fn embedded(places: Embedded<'_>) -> anyhow::Result<Opened> {
    expect_log(places)?;
    let locks = match DataDir::open_all(&places.directories()) {
        Ok(locks) => locks,
        Err(DataDirError::InUse { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    // Beside a running server the derived rows may grow between two looks; only a fault that stays is one.
    let mut attempts = if locks.is_empty() { 5 } else { 1 };
    loop {
        attempts -= 1;
        match SqliteLog::open_existing(places.log) {
            Ok(log) => return Ok(Opened::Store(Store { log: Arc::new(log), _locks: locks })),
            Err(OpenError::TailLost { .. }) if attempts > 0 => {}
            Err(error @ OpenError::TailLost { position, .. }) => {
                return Ok(Opened::Fault(position, error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens the store for a command that must be alone.
pub(super) fn alone(places: Embedded<'_>) -> anyhow::Result<(Vec<DataDir>, SqliteLog)> {
    expect_store(places)?;
    let locks = DataDir::open_all(&places.directories())?;
    let log = SqliteLog::open_existing(places.log)?;
    refuse_others(places.read, log.store().id)?;
    Ok((locks, log))
}
