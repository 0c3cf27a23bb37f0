//! The way through one shard's log.

use std::collections::HashMap;
use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::frame::{DecidedFrame, Tail};
use domain::ports::log::{EventLog, LogError};
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use domain::verify::{Fault, verify_and_decode};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::derived::{self, Derived, Rows};
use super::{Through, as_fault};
use crate::derived_digest::{DerivedDigest, stream_key};

/// A page of frames: at most so many, and about so many bytes.
const PAGE_FRAMES: usize = 1024;
const PAGE_BYTES: usize = 4 << 20;

/// The last frame of a shard; `u64::MAX` where it can't be told, since something is wrong with the log: reading will say what.
pub(super) async fn last_frame(log: &dyn EventLog, shard: Shard) -> Result<u64, LogError> {
    match log.frame_of_position(Position { shard, n: u64::MAX }).await {
        Ok(tail) => Ok(tail.saturating_sub(1)),
        Err(LogError::Corrupt(..)) => Ok(u64::MAX),
        Err(error) => Err(error),
    }
}

/// How far a walk came.
pub(super) struct Ended {
    /// After the last frame that holds.
    pub(super) tail: Tail,
    /// Up to here log and derived rows hold together.
    pub(super) through: Through,
    pub(super) fault: Option<Fault>,
}

/// Walks through the log of a shard up to the frame `end`, and compares its derived rows.
pub(super) async fn walk(
    log: &dyn EventLog,
    start: Through,
    end: u64,
    derived: &Derived,
    progress: &mut (impl FnMut(Shard, Position) + Send),
) -> Result<Ended, LogError> {
    let shard = start.tail.slot.shard;
    let bound = derived.bound(shard);
    let mut walk = Walk {
        store: log.store().id,
        tail: start.tail.clone(),
        first: start.tail.clone(),
        through: start.clone(),
        bound,
        expected: derived.digest(),
        versions: HashMap::new(),
        met: Vec::new(),
        last_time: start.last_time,
        ends: Vec::new(),
    };
    if let Some(fault) = still_there(log, &start.tail, end).await? {
        return Ok(walk.ended(Some(fault)));
    }
    while walk.tail.slot.frame <= end {
        let from = walk.tail.slot.frame;
        let mut page = match log.read_frames(shard, from, PAGE_FRAMES, PAGE_BYTES).await {
            Ok(page) if page.is_empty() => break,
            Ok(page) => page,
            Err(error) => {
                let fault = as_fault(walk.next(), error)?;
                return Ok(walk.ended(Some(fault)));
            }
        };
        page.truncate(usize::try_from(end - from).unwrap_or(usize::MAX).saturating_add(1));
        let (frames, fault);
        // Hashing a page takes long enough to hold up whatever else this thread serves.
        (walk, frames, fault) = tokio::task::spawn_blocking(move || walk.page(&page))
            .await
            .map_err(|e| LogError::Unavailable(format!("the verification was given up: {e}")))?;
        if let Some(fault) = fault {
            return Ok(walk.ended(Some(fault)));
        }
        if let Some(fault) = compare_index(log, shard, from, &std::mem::take(&mut walk.ends)).await? {
            return Ok(walk.ended(Some(fault)));
        }
        if derived.looks_up() {
            let met = std::mem::take(&mut walk.met);
            let mut fault = derived::versions_before(log, &met, walk.first.next_position).await?;
            if fault.is_none() {
                fault = derived::first_missing(log, shard, &frames, bound).await?;
            }
            if fault.is_some() {
                return Ok(walk.ended(fault));
            }
        }
        progress(shard, walk.head());
    }
    let found = walk.compare(log, derived).await?;
    Ok(walk.ended(found))
}

/// Whether the frame that a verification ended with is still what it was, and not beyond the log's end.
async fn still_there(log: &dyn EventLog, tail: &Tail, end: u64) -> Result<Option<Fault>, LogError> {
    let (shard, last) = (tail.slot.shard, tail.slot.frame - 1);
    if last == 0 {
        return Ok(None);
    }
    let gone = |n: u64, reason: String| Some(Fault { position: Position { shard, n }, reason });
    if end < last {
        let head = log.head(shard).await?;
        return Ok(gone(
            head.n + 1,
            format!("the log ended with frame {last} before, and ends with {end} now"),
        ));
    }
    let page = match log.read_frames(shard, last, 1, 0).await {
        Ok(page) => page,
        Err(error) => return as_fault(Position { shard, n: tail.head() }, error).map(Some),
    };
    let frame = page.first().map(|bytes| DecidedFrame::decode(bytes));
    Ok(match frame {
        Some(Ok(frame)) if frame.hash == tail.previous && frame.header.hash() == frame.hash => None,
        _ => gone(tail.head().max(1), format!("frame {last} of shard {shard} was another one before")),
    })
}

struct Walk {
    store: Uuid,
    tail: Tail,
    /// Where it began.
    first: Tail,
    through: Through,
    /// Derived rows reach up to this frame.
    bound: u64,
    /// Of the rows that the frames so far lead to; `None` where they are looked up.
    expected: Option<DerivedDigest>,
    /// The last version of every stream so far, under the first half of a SHA-256 of its key.
    versions: HashMap<[u8; 16], u64>,
    /// Streams whose first event here isn't their first one: the stream, and that event's version and position.
    met: Vec<(StreamId, u64, Position)>,
    last_time: domain::Timestamp,
    /// The last positions of the frames of this page.
    ends: Vec<u64>,
}

impl Walk {
    fn head(&self) -> Position {
        Position { shard: self.tail.slot.shard, n: self.tail.head() }
    }

    fn next(&self) -> Position {
        Position { shard: self.tail.slot.shard, n: self.tail.next_position }
    }

    fn ended(self, fault: Option<Fault>) -> Ended {
        Ended { tail: self.tail, through: self.through, fault }
    }

    /// Answers the frames too, where their rows are to be looked up.
    fn page(mut self, page: &[Vec<u8>]) -> (Self, Vec<DecidedFrame>, Option<Fault>) {
        let mut frames = Vec::new();
        for bytes in page {
            let slot = self.tail.slot;
            let frame = match verify_and_decode(self.store, &self.tail, bytes) {
                Ok((tail, frame)) => {
                    self.tail = tail;
                    frame
                }
                Err(fault) => return (self, frames, Some(fault)),
            };
            if let Some(fault) = frame.events.iter().find_map(|event| self.follow(event)) {
                return (self, frames, Some(fault));
            }
            self.ends.push(frame.header.last_position());
            if slot.frame <= self.bound {
                self.through = Through { tail: self.tail.clone(), last_time: self.last_time };
                match &mut self.expected {
                    Some(expected) => expected.frame(&frame),
                    None => frames.push(frame),
                }
            }
        }
        (self, frames, None)
    }

    /// What only the events before this one can tell.
    fn follow(&mut self, event: &Arc<RecordedEvent>) -> Option<Fault> {
        let fault = |reason: String| Some(Fault { position: event.position, reason });
        let digest = Sha256::digest(stream_key(&event.stream));
        let mut name = [0; 16];
        name.copy_from_slice(&digest[..16]);
        let begins = self.first.slot.frame == 1;
        match self.versions.get_mut(&name) {
            Some(version) if event.version == *version + 1 => *version += 1,
            None if event.version == 1 => _ = self.versions.insert(name, 1),
            None if !begins && event.version > 1 => {
                self.met.push((event.stream.clone(), event.version, event.position));
                self.versions.insert(name, event.version);
            }
            known => {
                let version = known.map_or(0, |version| *version);
                return fault(format!(
                    "version {} of {} follows version {version}",
                    event.version, event.stream
                ));
            }
        }
        if event.time < self.last_time {
            return fault("its time lies before that of the event before it".to_owned());
        }
        self.last_time = event.time;
        None
    }

    /// Compares what the frames led to with the derived rows.
    async fn compare(&mut self, log: &dyn EventLog, derived: &Derived) -> Result<Option<Fault>, LogError> {
        let shard = self.tail.slot.shard;
        let last_frame = self.tail.slot.frame - 1;
        if self.bound > last_frame {
            let reason =
                format!("derived rows know frame {}, but the log ends at frame {last_frame}", self.bound);
            return Ok(Some(Fault { position: self.next(), reason }));
        }
        if let Rows::Unreadable(fault) = derived.rows(shard) {
            return Ok(Some(fault.clone()));
        }
        let Some(expected) = self.expected.take() else { return Ok(None) };
        match derived.rows(shard) {
            Rows::Beyond(frame) => {
                let reason = format!("there are derived rows of frame {frame}, which the log doesn't have");
                Ok(Some(Fault { position: self.head(), reason }))
            }
            Rows::Digest(digest) if *digest == expected.finish().digest => Ok(None),
            Rows::Digest(_) => {
                if let Some(fault) = derived::first_difference(log, shard, self.bound).await? {
                    return Ok(Some(fault));
                }
                // All are there that must be; perhaps they were dropped and written anew while they were scanned.
                if derived.scan_again(log, shard).await? == Some(expected.finish().digest) {
                    return Ok(None);
                }
                let reason = "there are derived rows that nothing in the log leads to".to_owned();
                Ok(Some(Fault { position: self.head(), reason }))
            }
            Rows::ToLookUp | Rows::Unreadable(_) => Ok(None),
        }
    }
}

/// Compares the log's own index of positions with the frames of a page, which begins at frame `from`.
async fn compare_index(
    log: &dyn EventLog,
    shard: Shard,
    from: u64,
    ends: &[u64],
) -> Result<Option<Fault>, LogError> {
    let fault = |frame: u64, n: u64| {
        let reason = format!("frame {frame} of shard {shard}: the index of positions says otherwise");
        Some(Fault { position: Position { shard, n }, reason })
    };
    let indexed = match log.indexed_positions(shard, from, ends.len()).await {
        Ok(None) => return Ok(None),
        Ok(Some(indexed)) => indexed,
        Err(error) => {
            let n = ends.first().copied().unwrap_or(0).max(1);
            return as_fault(Position { shard, n }, error).map(Some);
        }
    };
    let differs = (from..).zip(ends.iter().zip(indexed.iter().map(Some).chain(std::iter::repeat(None))));
    Ok(differs.filter(|(_, (end, found))| Some(*end) != *found).find_map(|(frame, (end, _))| {
        // A fence before the first event ends at position 0.
        fault(frame, (*end).max(1))
    }))
}
