//! The port to a database that keeps rows, checkpoints and dead letters together.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::frame::FrameId;
use domain::merkle::Hash;
use domain::ports::log::StoreInfo;
use domain::position::{Position, Seen, Shard};
use domain::stream::StreamId;
use uuid::Uuid;

use crate::engine::mark::{Generation, Mark};
use crate::engine::model::Projection;
use crate::engine::origin;
use crate::engine::rows::RowChange;

/// Why a store didn't do what it was asked; it then changed nothing, or nobody can know (and asking again tells).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Storage can't be reached, is full, read-only or busy: repeat later.
    #[error("read storage is unavailable: {0}")]
    Unavailable(String),
    /// Another consumer has moved on meanwhile: load again and go on from there.
    #[error("another consumer moved the checkpoint of {0}")]
    Moved(String),
    /// The store refuses the contents: repeating the same won't help.
    #[error("the store refuses a row: {0}")]
    Refused(String),
    /// It was made from the log of another store: somebody mixed two of them up, and has to say which is meant.
    #[error(
        "{what} was made from the log of the store {theirs}, but the log here is that of the store {ours}: put back what belongs \
         together, or {way_out}"
    )]
    OtherLog {
        /// The file, schema or index.
        what: String,
        /// Whose log it was made from.
        theirs: Uuid,
        /// Whose log is there.
        ours: Uuid,
        /// What to do when the log is the right one; for people.
        way_out: String,
    },
}

/// The move of a projection's checkpoint in one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The shard.
    pub shard: Shard,
    /// The last position seen so far; the move fails when the stored one differs.
    pub from: u64,
    /// The last position seen from now on.
    pub to: u64,
    /// The frame that holds it.
    pub frame: FrameId,
}

/// An event that a projection couldn't apply, or that comes after such a one in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event; its stored form is kept.
    pub event: Arc<RecordedEvent>,
    /// Why; for people.
    pub reason: String,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// It is parked only because its stream is: the store must hold an earlier letter of the stream, else
    /// [`StoreError::Moved`].
    pub follows: bool,
}

/// One projection's part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The projection's name.
    pub projection: &'static str,
    /// At most one move per shard.
    pub moves: Vec<Move>,
    /// The changes of all events between `from` and `to`, in order.
    pub changes: Vec<RowChange>,
    /// The events between `from` and `to` that were parked instead.
    pub letters: Vec<DeadLetter>,
}

/// Changes, dead letters and checkpoints of several projections that stand or fall together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// At most one part per projection.
    pub parts: Vec<Part>,
}

/// How far an applied batch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// Queries see it, and its checkpoint is stored.
    Stored,
    /// Queries see it (there was nothing to see); the checkpoint is stored with the next [`RowStore::publish`].
    Visible,
    /// Queries see it after the next [`RowStore::publish`].
    Pending,
}

/// What a store knows of a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Which making of its rows this is of.
    pub generation: Generation,
    /// The positions applied, also those not yet published.
    pub seen: Seen,
    /// Why these rows aren't this program's to write: they are of another version of the projection, whose programs write them. `None`
    /// where they are its own.
    pub foreign: Option<String>,
    /// The streams with dead letters, each with the version of its first one: from there on its events are parked.
    pub parked: Vec<(StreamId, u64)>,
    /// How many dead letters there are.
    pub letters: u64,
    /// What the rows were made from, at most one mark a shard. One of an older program's has none, or a mark below `seen`.
    pub marks: Vec<origin::Mark>,
}

impl Loaded {
    /// The positions applied, and by which rows.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { generation: self.generation.clone(), seen: self.seen.clone() }
    }
}

/// Parked events of one stream, applied after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The projection's name.
    pub projection: &'static str,
    /// The letters that this settles: the oldest ones of one stream, in order. Each must still be there, else
    /// [`StoreError::Moved`].
    pub letters: Vec<Position>,
    /// Their events' changes, in order.
    pub changes: Vec<RowChange>,
}

/// A database of read models.
#[async_trait]
pub trait RowStore: Send + Sync + 'static {
    /// Makes the tables of projections that have none. Rows of another version of a projection, or of other tables, stay as they are
    /// and are read on: this program's are filled beside them and take their place when they have caught up, which is not the store's
    /// matter. Until then [`load`](Self::load) tells that they are [`foreign`](Loaded::foreign). A store that has no log yet belongs to
    /// `log` from now on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::OtherLog`].
    async fn prepare(&self, projections: &[Arc<dyn Projection>], log: StoreInfo) -> Result<(), StoreError>;

    /// Empties a prepared projection whose rows were made from something that the log doesn't hold, its checkpoints and dead
    /// letters too. `found` is what was loaded and compared.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when its checkpoints have changed since: load and compare again.
    async fn renew(&self, projection: &Arc<dyn Projection>, found: &Loaded) -> Result<(), StoreError>;

    /// The id of the event that stands at a position in rows which keep one for each event; `None` in others.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn event_at(&self, _position: Position) -> Result<Option<Uuid>, StoreError> {
        Ok(None)
    }

    /// What it knows of a projection, read in one snapshot.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn load(&self, projection: &'static str) -> Result<Loaded, StoreError>;

    /// The same for one who doesn't apply anything: a consumer of the same store goes on as if it hadn't been asked, and nothing is
    /// made or mended. Needs no [`prepare`](Self::prepare) where the store is there already.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn peek(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        self.load(projection).await
    }

    /// Applies a batch: rows, letters and checkpoints together or not at all. A letter that is there already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn apply(&self, batch: Batch) -> Result<Visibility, StoreError>;

    /// Makes visible, and stores for good, everything applied before the call.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: load again, since what was applied but not published may be gone.
    async fn publish(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Returns when something of what was stored is gone, as a dropped index, so that [`load`](Self::load) would tell otherwise
    /// than before; for a consumer that has nothing to apply, which would find out by itself. May be dropped at any time. Never
    /// returns for a store that can't lose anything without failing.
    async fn lost(&self) {
        std::future::pending().await
    }

    /// The oldest letters of a stream, in order of version.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn letters(
        &self,
        projection: &'static str,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    /// Applies parked events and removes their letters, together or not at all; visible when it returns.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn redrive(&self, step: Redrive) -> Result<(), StoreError>;

    /// A digest over the projection's rows, the same for the same rows in every backend; see [`crate::engine::digest`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn digest(&self, projection: &Arc<dyn Projection>) -> Result<Hash, StoreError>;
}

/// Where the dead letters of a store are kept that can't hold them itself, as a search index: in a database beside it. Letters are
/// put there before the checkpoint that covers them moves, so a crash in between parks the same events again, which changes
/// nothing.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Adds letters; those already there stay as they are.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Moved`] as for [`DeadLetter::follows`].
    async fn park(&self, projection: &'static str, letters: Vec<DeadLetter>) -> Result<(), StoreError>;

    /// Names this set of letters: another one means that letters were lost, and what depends on them must be built anew.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn id(&self) -> Result<Uuid, StoreError>;

    /// The parked streams, each with the version of its first letter, and how many letters there are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn parked(&self, projection: &'static str) -> Result<(Vec<(StreamId, u64)>, u64), StoreError>;

    /// The oldest letters of a stream, in order of version.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn oldest(
        &self,
        projection: &'static str,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    /// Removes letters, the oldest of one stream, all or none.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when one is not there any more.
    async fn settle(&self, projection: &'static str, letters: Vec<Position>) -> Result<(), StoreError>;

    /// Removes all letters of a projection that is built anew.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn clear(&self, projection: &'static str) -> Result<(), StoreError>;
}
