//! The event log on Cassandra or ScyllaDB.
//!
//! A frame is decided by one conditional write, whose outcome is told as it is (P3). Derived rows and checkpoints are plain
//! writes that may arrive in any order and more than once: their timestamps are not clocks but say which value is newer, see
//! `statements::stamp`.

mod derived;
mod digest;
mod event_rows;
mod frames;
mod rows;
mod snapshots;
mod statements;
mod tail;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::command::CommandId;
use domain::event::RecordedEvent;
use domain::frame::{DecidedFrame, EncodedFrame, FrameView, Slot};
use domain::merkle::Hash;
use domain::ports::log::{
    CommandResult, Decision, DerivedRows, EventLog, LogError, LogReader, Partitions, Progress, ProposeError,
    StoreInfo, StoredSnapshot,
};
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use futures::{StreamExt, TryStreamExt};
use lru::LruCache;
use scylla::client::session::Session;
use tokio::sync::Semaphore;

use self::derived::LAST_VERSIONS;
use self::statements::Statements;
pub(super) use self::statements::{serial, stamp};
use super::connect::{Connected, connect, corrupt};
use super::migrate;
use super::open_error::{OpenError, failed, tail_lost};
use super::promises::{self, Promises};
use super::url::CassandraUrl;

/// Frames per partition of the table `log`.
pub(super) const BUCKET: u64 = 512;
/// What they have together at most: owners see to it, however large single frames are.
const PARTITION_BYTES: u64 = 100 << 20;
/// Proposals of one shard that may be under way at the same time; an owner has one.
const OPEN_PROPOSALS: u32 = 64;
/// Shards looked at together when a store is opened.
const AT_ONCE: usize = 16;

/// The event log and the leases of a store on Cassandra or ScyllaDB. Clones share one session.
#[derive(Clone)]
pub struct CassandraLog {
    pub(super) inner: Arc<CassandraLogInner>,
}

pub(super) struct CassandraLogInner {
    pub(super) session: Session,
    pub(super) statements: Statements,
    store: StoreInfo,
    shards: Vec<ShardState>,
    /// The last version of streams whose rows were written lately.
    versions: Mutex<LruCache<StreamId, u64>>,
    promises: Promises,
}

/// What this process knows of a shard.
struct ShardState {
    /// A frame known to be decided, and with it all frames before.
    decided: AtomicU64,
    /// The proposals under way: one permit each; a serial read takes all permits, so that it comes after them.
    proposals: Arc<Semaphore>,
    /// About the size of a frame, bytes; for the number of rows to ask for.
    frame_size: AtomicU64,
}

impl ShardState {
    fn saw_decided(&self, frame: u64) {
        self.decided.fetch_max(frame, Ordering::Relaxed);
    }
}

impl CassandraLog {
    /// Makes what is missing of keyspace, tables and the store's own rows; leaves what is there, but for a table of derived rows that
    /// an older program laid out differently: that one begins anew. Not to be run twice at the same time: Cassandra 5 doesn't order
    /// changes of the schema.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::OtherShards`] when the store was made with another number of shards.
    pub async fn migrate(url: &CassandraUrl, shards: u16) -> Result<StoreInfo, OpenError> {
        Box::pin(migrate::migrate(url, shards)).await
    }

    /// Opens the store that [`migrate`](Self::migrate) made.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Missing`] when there is none.
    pub async fn open(url: &CassandraUrl) -> Result<Self, OpenError> {
        Box::pin(open(url)).await
    }

    /// What the servers' settings promise, as it was when the store was opened.
    #[must_use]
    pub fn promises(&self) -> &Promises {
        &self.inner.promises
    }
}

async fn open(url: &CassandraUrl) -> Result<CassandraLog, OpenError> {
    let Connected { session, datacenter } = connect(url).await?;
    if !migrate::has_keyspace(&session, url).await? {
        return Err(OpenError::Missing { keyspace: url.keyspace().to_owned() });
    }
    session.use_keyspace(url.keyspace(), true).await.map_err(failed("the keyspace"))?;
    let store = migrate::recognise(&session, url).await?;
    let promises = promises::look(&session, url, &datacenter).await?;
    promises.log();
    let statements = Statements::prepare(&session, url, &datacenter).await?;
    let shards = (0..store.shards).map(|_| ShardState {
        decided: AtomicU64::new(0),
        proposals: Arc::new(Semaphore::new(OPEN_PROPOSALS as usize)),
        frame_size: AtomicU64::new(64 << 10),
    });
    let inner = CassandraLogInner {
        shards: shards.collect(),
        versions: Mutex::new(LruCache::new(LAST_VERSIONS)),
        session,
        statements,
        store,
        promises,
    };
    check_tails(&inner).await?;
    check_marks(&inner, url).await?;
    Ok(CassandraLog { inner: Arc::new(inner) })
}

/// See [`tail_lost`].
async fn check_tails(inner: &CassandraLogInner) -> Result<(), OpenError> {
    let storage = |e: LogError| OpenError::Storage { what: "the tails of the shards", reason: e.to_string() };
    let checks = (0..inner.store.shards).map(|n| async move {
        let shard = Shard(n);
        let progress = inner.progress(shard).await.map_err(storage)?;
        // The hint stays where derived rows are dropped.
        let known = progress.derived_through.max(progress.tail_hint);
        if known == 0 || inner.place(Slot { shard, frame: known }).await.map_err(storage)?.is_some() {
            return Ok(());
        }
        let tail = inner.find_tail(shard, 0).await.map_err(storage)?;
        if known > tail.frame { Err(tail_lost(shard, tail.frame, tail.last_position, known)) } else { Ok(()) }
    });
    futures::stream::iter(checks).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

/// Derived rows must be made of the frames that the log holds; the log may have been put back from an older copy, or the rows from
/// another store's.
async fn check_marks(inner: &CassandraLogInner, url: &CassandraUrl) -> Result<(), OpenError> {
    let storage =
        |e: LogError| OpenError::Storage { what: "the marks of derived rows", reason: e.to_string() };
    let checks = (0..inner.store.shards).map(|n| async move {
        let shard = Shard(n);
        let Some((theirs, made)) = inner.mark(shard).await.map_err(storage)? else { return Ok(()) };
        if inner.progress(shard).await.map_err(storage)?.derived_through < made.number {
            // They have begun anew since.
            return Ok(());
        }
        if theirs != inner.store.id {
            let keyspace = url.keyspace().to_owned();
            return Err(OpenError::OtherLog { keyspace, theirs, ours: inner.store.id });
        }
        let slot = Slot { shard, frame: made.number };
        let row = inner.read_frames(shard, made.number, 1, 0).await.map_err(storage)?;
        match row.first().and_then(|bytes| FrameView::parse(bytes).ok()) {
            Some(view) if view.hash != made.hash => {
                Err(OpenError::OtherFrame { keyspace: url.keyspace().to_owned(), slot })
            }
            // One that is missing or broken is for others to tell of.
            _ => Ok(()),
        }
    });
    futures::stream::iter(checks).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

impl CassandraLogInner {
    fn shard(&self, shard: Shard) -> Result<&ShardState, LogError> {
        self.shards.get(usize::from(shard.0)).ok_or_else(|| {
            corrupt(format!("shard {shard}"), format!("the store has {} shards", self.store.shards))
        })
    }
}

#[async_trait]
impl LogReader for CassandraLog {
    fn store(&self) -> StoreInfo {
        self.inner.store
    }

    async fn read_frames(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, LogError> {
        self.inner.read_frames(shard, from, limit, max_bytes).await
    }

    async fn frame_of_position(&self, position: Position) -> Result<u64, LogError> {
        self.inner.frame_of_position(position).await
    }

    async fn head(&self, shard: Shard) -> Result<Position, LogError> {
        Ok(Position { shard, n: self.inner.tail(shard).await?.last_position })
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        self.inner.read_stream(stream, after, limit).await
    }
}

#[async_trait]
impl EventLog for CassandraLog {
    fn partitions(&self) -> Option<Partitions> {
        Some(Partitions { frames: BUCKET, bytes: PARTITION_BYTES })
    }

    async fn propose(&self, frame: Arc<EncodedFrame>) -> Result<Decision, ProposeError> {
        frames::propose(&self.inner, frame).await
    }

    async fn read_slot(&self, slot: Slot) -> Result<Option<Vec<u8>>, LogError> {
        self.inner.read_slot(slot).await
    }

    async fn progress(&self, shard: Shard) -> Result<Progress, LogError> {
        Ok(self.inner.progress(shard).await?.progress())
    }

    async fn write_derived(&self, shard: Shard, frames: &[Arc<DecidedFrame>]) -> Result<(), LogError> {
        self.inner.write_derived(shard, frames).await
    }

    async fn write_published(&self, shard: Shard, frame: u64) -> Result<(), LogError> {
        self.inner.write_published(shard, frame).await
    }

    async fn write_snapshots(
        &self,
        shard: Shard,
        snapshots: &[(StreamId, StoredSnapshot)],
    ) -> Result<(), LogError> {
        self.inner.write_snapshots(shard, snapshots).await
    }

    async fn read_snapshots(&self, stream: &StreamId) -> Result<Vec<StoredSnapshot>, LogError> {
        self.inner.read_snapshots(stream).await
    }

    async fn command_result(&self, shard: Shard, id: CommandId) -> Result<Option<CommandResult>, LogError> {
        self.inner.command_result(shard, id).await
    }

    async fn drop_derived(&self, shard: Shard) -> Result<(), LogError> {
        self.inner.drop_derived(shard).await
    }

    async fn indexed_positions(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<u64>>, LogError> {
        self.inner.last_positions(shard, from, limit).await.map(Some)
    }

    async fn derived_rows(&self, key: &Hash, bounds: &[u64]) -> Result<Vec<DerivedRows>, LogError> {
        self.inner.derived_rows(key, bounds).await
    }
}
