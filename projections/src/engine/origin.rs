//! Whether rows were made from the log that is there now.
//!
//! A checkpoint carries the frame that holds its position, and a frame's hash holds for every frame before it. So one read of the log
//! tells, for each shard, whether the log still holds everything that the rows were made from. It doesn't when the log was put back
//! from an older copy: it ends before the checkpoint, or went on with other frames. Rows that it didn't make are built anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::frame::{FrameId, FrameView};
use domain::ports::log::{LogError, LogReader};
use domain::position::Position;
use futures::future::try_join_all;
use uuid::Uuid;

use crate::engine::applier::ApplyError;
use crate::engine::model::Projection;
use crate::engine::store::{Loaded, RowStore};

/// Rows aren't thrown away at the first look: a log of many servers may show what was decided a moment ago a little later.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A position that rows were made up to, and the frame that held it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The position.
    pub position: Position,
    /// Its frame.
    pub frame: FrameId,
}

/// How a log contradicts what rows were made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// It ends before that.
    #[error("the log ends before {0}")]
    Ahead(Position),
    /// It holds something else there.
    #[error("the log holds another frame at {0}")]
    Other(Position),
}

/// What the log holds at positions, each looked up once.
#[derive(Default)]
pub struct Looked(HashMap<(Position, Option<u64>), Found>);

#[derive(Clone, Copy)]
enum Found {
    /// The frame that holds the position, and the event's id.
    Frame(FrameId, Uuid),
    Nothing,
    /// It can't be read: nothing can be said, and whoever needs it will say so.
    Unreadable,
}

impl Looked {
    /// Compares what a projection was made from with the log: one read for each shard, and a few more for checkpoints of programs
    /// that kept no frames.
    ///
    /// # Errors
    /// [`ApplyError`] when the log or the store can't be read now.
    pub async fn contradiction(
        &mut self,
        loaded: &Loaded,
        store: &dyn RowStore,
        log: &dyn LogReader,
    ) -> Result<Option<Contradiction>, ApplyError> {
        let applied: Vec<_> = loaded.seen.positions().filter(|position| position.n > 0).collect();
        let mark_of = |position: &Position| loaded.marks.iter().find(|m| m.position.shard == position.shard);
        let mut wanted: Vec<(Position, Option<u64>)> = Vec::new();
        for position in &applied {
            let mark = mark_of(position);
            wanted.extend(mark.map(|mark| (mark.position, Some(mark.frame.number))));
            // An older program went on from there and left the mark behind, or there never was one.
            if mark.is_none_or(|mark| mark.position != *position) {
                wanted.push((*position, None));
            }
        }
        wanted.retain(|key| !self.0.contains_key(key));
        let found = try_join_all(wanted.iter().map(|(at, frame)| look(log, *at, *frame))).await?;
        self.0.extend(wanted.into_iter().zip(found));
        for position in applied {
            let mark = mark_of(&position);
            if let Some(mark) = mark {
                match self.0.get(&(mark.position, Some(mark.frame.number))) {
                    Some(Found::Frame(frame, _)) if *frame == mark.frame => {}
                    Some(Found::Frame(..)) => return Ok(Some(Contradiction::Other(mark.position))),
                    Some(Found::Nothing) => return Ok(Some(ahead_or_other(log, mark.position).await?)),
                    Some(Found::Unreadable) | None => {}
                }
            }
            match self.0.get(&(position, None)) {
                Some(Found::Nothing) => return Ok(Some(Contradiction::Ahead(position))),
                Some(Found::Frame(_, id)) => {
                    if store.event_at(position).await?.is_some_and(|held| held != *id) {
                        return Ok(Some(Contradiction::Other(position)));
                    }
                }
                Some(Found::Unreadable) | None => {}
            }
        }
        Ok(None)
    }
}

/// Refuses what wasn't made from the log, for a process that reads it and can't build it anew. What isn't there yet, or is being made,
/// is no concern of this.
///
/// # Errors
/// [`NotFromLog`]; [`ApplyError`] when the log or the store can't be read.
pub async fn expect_made_from(
    store: &dyn RowStore,
    projections: &[Arc<dyn Projection>],
    log: &dyn LogReader,
) -> Result<(), NotFromLog> {
    let mut looked = Looked::default();
    for projection in projections {
        let name = projection.name();
        let Ok(loaded) = store.peek(name).await else { continue };
        if let Some(why) = looked.contradiction(&loaded, store, log).await? {
            return Err(NotFromLog::Contradiction(name, why));
        }
    }
    Ok(())
}

/// Why a process can't read what another one keeps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFromLog {
    /// It was made from something that the log doesn't hold.
    #[error(
        "the projection {0} was not made from this log ({1}): start a process with the role projections first, which builds it anew, or \
         run `tillstream rebuild`"
    )]
    Contradiction(&'static str, Contradiction),
    /// It can't be compared now.
    #[error(transparent)]
    Unavailable(#[from] ApplyError),
}

/// What the log holds at a position: in the frame of that number, or wherever it is.
async fn look(log: &dyn LogReader, at: Position, number: Option<u64>) -> Result<Found, LogError> {
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        match frame_at(log, at, number).await {
            Ok(Some((frame, id))) => return Ok(Found::Frame(frame, id)),
            Ok(None) => {}
            Err(error @ LogError::Corrupt(..)) => {
                tracing::warn!(%error, position = %at, "can't compare with the log");
                return Ok(Found::Unreadable);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Found::Nothing)
}

/// The frame that holds a position, and the id of the event there; `None` when the log ends before, or the frame of that number
/// doesn't hold it.
///
/// # Errors
/// [`LogError`].
pub async fn frame_at(
    log: &dyn LogReader,
    at: Position,
    number: Option<u64>,
) -> Result<Option<(FrameId, Uuid)>, LogError> {
    let number = match number {
        Some(number) => number,
        None => log.frame_of_position(at).await?,
    };
    let rows = log.read_frames(at.shard, number, 1, 0).await?;
    let Some(bytes) = rows.first() else { return Ok(None) };
    let unreadable = |e: domain::frame::WireError| {
        LogError::Corrupt(format!("frame {number} of shard {}", at.shard), e.to_string())
    };
    let view = FrameView::parse(bytes).map_err(unreadable)?;
    let index = at.n.checked_sub(view.header.first_position).and_then(|index| usize::try_from(index).ok());
    let Some(bytes) = index.and_then(|index| view.events.get(index)) else { return Ok(None) };
    let event = domain::event::RecordedEvent::decode(bytes, at).map_err(unreadable)?;
    Ok(Some((view.id(), event.id)))
}

async fn ahead_or_other(log: &dyn LogReader, at: Position) -> Result<Contradiction, LogError> {
    let head = log.head(at.shard).await?;
    Ok(if head.n < at.n { Contradiction::Ahead(at) } else { Contradiction::Other(at) })
}
