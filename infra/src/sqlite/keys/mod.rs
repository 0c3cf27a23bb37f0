//! The keys of data subjects on SQLite, in `keys.db`: a file of its own, which the log's backups leave out.
//!
//! Destroying a key leaves a row without one, overwrites the freed bytes (`secure_delete`) and empties the write-ahead log, so that
//! the key is in no file afterwards.

mod store;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::personal::Sealed;
use domain::ports::keys::{KeyError, SubjectKeys};
use domain::stream::StreamId;
use lru::LruCache;

use super::thread::{DbThread, Stopped};
use crate::subject_keys::{BlindKey, Subject};

/// The file in the data directory.
pub const KEYS_FILE: &str = "keys.db";

/// Subjects whose keys stay in memory.
const CACHED: NonZeroUsize = NonZeroUsize::new(10_000).expect("more than none");

/// Why the key store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenKeysError {
    /// A newer program made the file.
    #[error("{} has layout {found}, which this program doesn't know: use a newer tillstream", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its layout.
        found: i64,
    },
    /// The log has events, so there were keys once; new ones would fit nothing that is stored.
    #[error(
        "{} is missing or empty, but the log has events: without its keys no e-mail address is known any more and personal data \
         stays sealed; put the file back",
        file.display()
    )]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The file can't be read or written.
    #[error("{}: {source}", file.display())]
    Storage {
        /// The file.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Its thread can't be started.
    #[error("the key store's thread can't be started: {0}")]
    Thread(std::io::Error),
}

impl From<Stopped> for KeyError {
    fn from(stopped: Stopped) -> Self {
        Self::Unavailable(stopped.to_string())
    }
}

/// Written by the store's thread only, in the order of its transactions, so that no stale key returns after an erasure.
type Cache = Arc<Mutex<LruCache<StreamId, Subject>>>;

/// The key store in a data directory. The caller holds the directory's lock ([`crate::data_dir::DataDir`]).
pub struct SqliteKeys {
    thread: DbThread,
    cache: Cache,
    blind: BlindKey,
}

impl SqliteKeys {
    /// Opens `keys.db` in `dir`, making it with a random key for [`SubjectKeys::blind`] when there is none.
    ///
    /// # Errors
    /// [`OpenKeysError`].
    pub fn open(dir: &Path) -> Result<Self, OpenKeysError> {
        Self::over(store::open(&dir.join(KEYS_FILE), true)?)
    }

    /// Opens `keys.db` in `dir` for a log that has events: it isn't made anew, since nothing that was stored could be opened, and
    /// nobody found by an e-mail address, with new keys.
    ///
    /// # Errors
    /// [`OpenKeysError`]; [`OpenKeysError::Missing`] when there is none.
    pub fn open_existing(dir: &Path) -> Result<Self, OpenKeysError> {
        Self::over(store::open(&dir.join(KEYS_FILE), false)?)
    }

    fn over((conn, blind): (rusqlite::Connection, BlindKey)) -> Result<Self, OpenKeysError> {
        let thread = DbThread::spawn("subject-keys", conn).map_err(OpenKeysError::Thread)?;
        Ok(Self { thread, cache: Arc::new(Mutex::new(LruCache::new(CACHED))), blind })
    }

    fn cached(&self, subject: &StreamId) -> Option<Subject> {
        lock(&self.cache).get(subject).cloned()
    }

    /// The subject's key, or that it has none any more; `None` when there never was one.
    async fn find(&self, subject: &StreamId) -> Result<Option<Subject>, KeyError> {
        if let Some(known) = self.cached(subject) {
            return Ok(Some(known));
        }
        self.on_thread(subject, store::find).await
    }

    /// The subject's key, made durable first when there never was one.
    async fn find_or_make(&self, subject: &StreamId) -> Result<Subject, KeyError> {
        if let Some(known) = self.cached(subject) {
            return Ok(known);
        }
        let made = self.on_thread(subject, |conn, name| store::find_or_make(conn, name).map(Some)).await?;
        Ok(made.unwrap_or(Subject::Erased))
    }

    async fn on_thread(
        &self,
        subject: &StreamId,
        job: fn(&mut rusqlite::Connection, &str) -> rusqlite::Result<Option<Subject>>,
    ) -> Result<Option<Subject>, KeyError> {
        let (cache, subject) = (self.cache.clone(), subject.clone());
        let answer = self.thread.run(move |conn| {
            let found = job(conn, &subject.to_string())?;
            if let Some(found) = &found {
                lock(&cache).put(subject, found.clone());
            }
            Ok(found)
        });
        answer.await?.map_err(unavailable)
    }
}

fn lock(cache: &Cache) -> std::sync::MutexGuard<'_, LruCache<StreamId, Subject>> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(error: rusqlite::Error) -> KeyError {
    KeyError::Unavailable(format!("{KEYS_FILE}: {error}"))
}

#[async_trait]
impl SubjectKeys for SqliteKeys {
    async fn seal(&self, subject: &StreamId, values: &[&str]) -> Result<Vec<Sealed>, KeyError> {
        self.find_or_make(subject).await?.seal(subject, values)
    }

    async fn open(&self, subject: &StreamId, values: &[&Sealed]) -> Result<Vec<String>, KeyError> {
        self.find(subject).await?.unwrap_or(Subject::Erased).open(subject, values)
    }

    async fn destroy(&self, subject: &StreamId) -> Result<(), KeyError> {
        let (cache, subject) = (self.cache.clone(), subject.clone());
        let answer = self.thread.run(move |conn| {
            let erased = store::destroy(conn, &subject.to_string());
            // Also after a failure: what the file holds then is read again.
            lock(&cache).pop(&subject);
            erased
        });
        answer.await?.map_err(unavailable)
    }

    fn blind(&self, value: &str) -> String {
        self.blind.digest(value)
    }
}
