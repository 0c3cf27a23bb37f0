//! Opening a store for an operator's command.

use std::path::Path;

use anyhow::{Context as _, bail};
use domain::position::Position;

use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::sqlite::log::{OpenError, SqliteLog};

/// An open log, and the directories' locks unless a running server holds them.
pub(super) struct Store {
    pub(super) log: SqliteLog,
    _locks: Vec<DataDir>,
}

/// What opening told.
pub(super) enum Opened {
    Store(Store),
    /// The log lost what it had: known without reading it.
    Fault(Position, String),
}

/// Opens the store for reading, also beside a running server.
pub(super) fn for_reading(config: &Config) -> anyhow::Result<Opened> {
    let dir = existing(config)?;
    let locks = match DataDir::open_all(&config.directories()) {
        Ok(locks) => locks,
        Err(DataDirError::InUse { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    // Beside a running server the derived rows may grow between two looks; only a fault that stays is one.
    let mut attempts = if locks.is_empty() { 5 } else { 1 };
    loop {
        attempts -= 1;
        match SqliteLog::open_existing(dir) {
            Ok(log) => return Ok(Opened::Store(Store { log, _locks: locks })),
            Err(OpenError::TailLost { .. }) if attempts > 0 => {}
            Err(error @ OpenError::TailLost { position, .. }) => {
                return Ok(Opened::Fault(position, error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens the store for a command that must be alone.
pub(super) fn alone(config: &Config) -> anyhow::Result<(Vec<DataDir>, SqliteLog)> {
    let dir = existing(config)?;
    let locks = DataDir::open_all(&config.directories())?;
    Ok((locks, SqliteLog::open_existing(dir)?))
}

/// The log's directory. It is not made: a typing error must not become an empty store.
fn existing(config: &Config) -> anyhow::Result<&Path> {
    let dir = config.log.url.directory(&config.data.dir);
    for dir in [config.data.dir.as_path(), dir] {
        match std::fs::metadata(dir) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => bail!("{} is not a directory", dir.display()),
            Err(error) => return Err(error).with_context(|| format!("no store in {}", dir.display())),
        }
    }
    Ok(dir)
}
