//! The keys of data subjects on PostgreSQL, for many processes: in a schema of their own, best in a cluster of their own, which the
//! log's backups leave out.
//!
//! Destroying a key leaves a row without one and writes the row's table, one of 64, anew in the same transaction; whoever needs a key
//! of that table waits meanwhile (0.2 s with a million subjects). From its commit on, no table holds the key. What this can't reach: the server's write-ahead log holds the key until its segments are recycled and
//! overwritten (`max_wal_size`, `checkpoint_timeout`), a standby and an archive of the write-ahead log until they expire, and the
//! disk's free blocks until they are reused. So: no archive and no base backups that outlive the promised time of an erasure.
//!
//! A key stays in a process's memory for [`VALID_FOR`] at most, so another process may still open what was sealed under a destroyed
//! key for that long.

mod store;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::personal::Sealed;
use domain::ports::keys::{KeyError, SubjectKeys};
use domain::stream::StreamId;
use lru::LruCache;
use sqlx::PgPool;
use tokio::time::Instant;

use super::PostgresUrl;
use crate::config::MalformedUrl;
use crate::subject_keys::{BlindKey, Subject};

/// How long a process goes by what it read of a subject.
pub const VALID_FOR: Duration = Duration::from_secs(5);

/// Subjects whose keys stay in memory.
const CACHED: NonZeroUsize = NonZeroUsize::new(10_000).expect("more than none");

/// Where the keys are unless a place of their own is configured: the schema `<schema>_keys` beside the read models.
///
/// # Errors
/// [`MalformedUrl`] when that name is too long.
pub fn beside(read: &PostgresUrl) -> Result<PostgresUrl, MalformedUrl> {
    read.with_schema(&format!("{}_keys", read.schema()))
}

/// Why the key store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenPostgresKeysError {
    /// A newer program made the schema.
    #[error("{url} has layout {found} of keys, which this program doesn't know: use a newer tillstream")]
    Newer {
        /// Where, without the password.
        url: String,
        /// Its layout.
        found: i32,
    },
    /// The log has events, so there were keys once; new ones would fit nothing that is stored.
    #[error(
        "there are no keys at {url}, but the log has events: without its keys no e-mail address is known any more and personal data \
         stays sealed; put the schema back"
    )]
    Missing {
        /// Where, without the password.
        url: String,
    },
    /// The database can't be read or written.
    #[error("{url}: {source}")]
    Storage {
        /// Where, without the password.
        url: String,
        /// What the driver said.
        source: sqlx::Error,
    },
}

/// The key store in a schema.
pub struct PostgresKeys {
    pool: PgPool,
    blind: BlindKey,
    /// The advisory lock of erasures.
    lock: i64,
    cache: Mutex<LruCache<StreamId, (Instant, Subject)>>,
    /// Counts this process's erasures: what was read before one isn't kept after it.
    erasures: AtomicU64,
}

impl PostgresKeys {
    /// Opens the schema that the URL names, making it, with a random key for [`SubjectKeys::blind`], when there is none.
    ///
    /// # Errors
    /// [`OpenPostgresKeysError`].
    pub async fn open(url: &PostgresUrl) -> Result<Self, OpenPostgresKeysError> {
        Self::over(store::open(url, true).await?)
    }

    /// Opens the schema for a log that has events: it isn't made anew, since nothing that was stored could be opened, and nobody
    /// found by an e-mail address, with new keys.
    ///
    /// # Errors
    /// [`OpenPostgresKeysError`]; [`OpenPostgresKeysError::Missing`] when there is none.
    pub async fn open_existing(url: &PostgresUrl) -> Result<Self, OpenPostgresKeysError> {
        Self::over(store::open(url, false).await?)
    }

    fn over((pool, blind, lock): (PgPool, BlindKey, i64)) -> Result<Self, OpenPostgresKeysError> {
        let cache = Mutex::new(LruCache::new(CACHED));
        Ok(Self { pool, blind, lock, cache, erasures: AtomicU64::new(0) })
    }

    /// The connections, for what else is kept in the schema.
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    fn cached(&self, subject: &StreamId) -> Option<Subject> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, known) = cache.get(subject)?;
        if read.elapsed() < VALID_FOR {
            return Some(known.clone());
        }
        cache.pop(subject);
        None
    }

    /// Keeps what was asked for at `asked`, unless this process has destroyed a key since then.
    fn keep(&self, subject: &StreamId, asked: Instant, erasures: u64, known: &Subject) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if self.erasures.load(Ordering::SeqCst) == erasures {
            cache.put(subject.clone(), (asked, known.clone()));
        }
    }

    fn forget(&self, subject: &StreamId) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        self.erasures.fetch_add(1, Ordering::SeqCst);
        cache.pop(subject);
    }

    /// What is known of a subject; with `make`, a key is made durable first when there never was one.
    async fn subject(&self, subject: &StreamId, make: bool) -> Result<Subject, KeyError> {
        if let Some(known) = self.cached(subject) {
            return Ok(known);
        }
        let (asked, erasures) = (Instant::now(), self.erasures.load(Ordering::SeqCst));
        let name = subject.to_string();
        let stored = match store::find(&self.pool, &name).await.map_err(unavailable)? {
            Some(stored) => stored,
            None if make => store::make(&self.pool, &name).await.map_err(unavailable)?,
            // Not kept: it may get a key at any time.
            None => return Ok(Subject::Erased),
        };
        let known = Subject::stored(stored);
        self.keep(subject, asked, erasures, &known);
        Ok(known)
    }
}

pub(super) fn unavailable(error: sqlx::Error) -> KeyError {
    KeyError::Unavailable(error.to_string())
}

#[async_trait]
impl SubjectKeys for PostgresKeys {
    async fn seal(&self, subject: &StreamId, values: &[&str]) -> Result<Vec<Sealed>, KeyError> {
        self.subject(subject, true).await?.seal(subject, values)
    }

    async fn open(&self, subject: &StreamId, values: &[&Sealed]) -> Result<Vec<String>, KeyError> {
        self.subject(subject, false).await?.open(subject, values)
    }

    async fn destroy(&self, subject: &StreamId) -> Result<(), KeyError> {
        let erased = store::destroy(&self.pool, self.lock, &subject.to_string()).await;
        // Also after a failure, whose outcome may be unknown: what the table holds then is read again.
        self.forget(subject);
        erased.map_err(unavailable)
    }

    fn blind(&self, value: &str) -> String {
        self.blind.digest(value)
    }
}
