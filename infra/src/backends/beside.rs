//! What lies beside a log in the directories of a process: whether there was a log once, and whose.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use projections::engine::store::StoreError;
use uuid::Uuid;

use crate::config::Embedded;
use crate::sqlite::keys::KEYS_FILE;
use crate::sqlite::log::{DERIVED_FILE, LOG_FILE, OpenError, holds_no_log};
use crate::sqlite::read_store::{self, READ_FILE};
use crate::tantivy;

/// Refuses a log that is missing or empty while something that was made beside it is there: a new one would fit nothing of it.
/// Nothing is touched. `own` are files that the application has in the data directory.
pub(super) fn refuse_lost_log(places: Embedded<'_>, own: &[&str]) -> Result<(), OpenError> {
    let file = places.log.join(LOG_FILE);
    if !holds_no_log(&file) {
        return Ok(());
    }
    match witnesses(places, own).into_iter().find(|witness| witness.exists()) {
        Some(beside) => Err(OpenError::LogLost { file, beside }),
        None => Ok(()),
    }
}

/// What only a store with a log makes.
fn witnesses(places: Embedded<'_>, own: &[&str]) -> Vec<PathBuf> {
    let mut all = vec![places.log.join(DERIVED_FILE), places.read.join(READ_FILE)];
    all.extend(tantivy::indices_in(places.read));
    all.push(places.data.join(KEYS_FILE));
    all.extend(own.iter().map(|file| places.data.join(file)));
    all
}

/// Refuses a log without any event beside read models of events: it was emptied.
pub(super) fn refuse_emptied_log(places: Embedded<'_>) -> Result<(), OpenError> {
    let beside = places.read.join(READ_FILE);
    if read_store::has_applied(&beside) {
        return Err(OpenError::LogLost { file: places.log.join(LOG_FILE), beside });
    }
    Ok(())
}

/// Refuses read models and search indices that were made from the log of another store.
pub(crate) fn refuse_others(read: &Path, ours: Uuid) -> Result<(), StoreError> {
    read_store::refuse_other(&read.join(READ_FILE), ours)?;
    tantivy::refuse_others(read, ours)
}

/// Whether the directories hold a store, for whoever must find one and make nothing.
pub(crate) fn expect_store(places: Embedded<'_>) -> anyhow::Result<()> {
    expect_log(places)?;
    let file = places.read.join(READ_FILE);
    if !file.is_file() {
        bail!(
            "there are no read models: {} is missing; `tillstream migrate` makes it, and a server fills it",
            file.display()
        );
    }
    Ok(())
}

/// Whether the directories hold a log.
pub(crate) fn expect_log(places: Embedded<'_>) -> anyhow::Result<()> {
    for dir in places.directories() {
        let found = std::fs::metadata(dir).with_context(|| format!("no store in {}", dir.display()))?;
        if !found.is_dir() {
            bail!("{} is not a directory", dir.display());
        }
    }
    if holds_no_log(&places.log.join(LOG_FILE)) {
        bail!("{} holds no store", places.log.display());
    }
    Ok(())
}
