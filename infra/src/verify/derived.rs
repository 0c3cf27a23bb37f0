//! Derived rows: their digests by one scan, or looked up one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::frame::DecidedFrame;
use domain::merkle::Hash;
use domain::ports::log::{DerivedRows, EventLog, LogError};
use domain::ports::walk::Walk;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use domain::verify::Fault;
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::as_fault;
use super::walk::last_frame;
use crate::derived_digest::DerivedDigest;

/// Look-ups under way at the same time.
const AT_ONCE: usize = 8;
/// Rows that are read together, at most.
const TOGETHER: usize = 500;

/// What is known of a shard's derived rows.
pub(super) enum Rows {
    /// Of those up to the bound.
    Digest(Hash),
    /// Some are of this frame, which the log didn't have when they had been scanned.
    Beyond(u64),
    Unreadable(Fault),
    /// Those that frames lead to are looked up.
    ToLookUp,
}

/// The derived rows of a store, as a verification knows them.
pub(super) struct Derived {
    key: Hash,
    /// Rows of all frames up to these are written.
    bounds: Vec<u64>,
    rows: Vec<Rows>,
    looks_up: bool,
}

impl Derived {
    /// Rows that are looked up when their frames are met.
    pub(super) async fn to_look_up(log: &dyn EventLog, shards: &[Shard]) -> Result<Self, LogError> {
        let (mut bounds, mut rows) = (Vec::new(), Vec::new());
        for shard in shards {
            let (bound, known) = match log.progress(*shard).await {
                Ok(progress) => (progress.derived_through, Rows::ToLookUp),
                Err(error) => (0, Rows::Unreadable(as_fault(Position { shard: *shard, n: 1 }, error)?)),
            };
            bounds.push(bound);
            rows.push(known);
        }
        Ok(Self { key: [0; 32], bounds, rows, looks_up: true })
    }

    /// Rows whose digests one scan gives.
    pub(super) async fn scanned(log: &dyn EventLog, shards: &[Shard]) -> Result<Self, LogError> {
        let mut derived = Self { looks_up: false, ..Self::to_look_up(log, shards).await? };
        for half in derived.key.chunks_exact_mut(16) {
            half.copy_from_slice(Uuid::new_v4().as_bytes());
        }
        let found = match log.derived_rows(&derived.key, &derived.bounds).await {
            Ok(found) => found.into_iter().map(Ok).collect(),
            Err(error) => shards
                .iter()
                .map(|shard| as_fault(Position { shard: *shard, n: 1 }, error.clone()).map(Err))
                .collect::<Result<Vec<Result<DerivedRows, Fault>>, _>>()?,
        };
        for ((shard, rows), found) in shards.iter().zip(&mut derived.rows).zip(found) {
            match (&rows, found) {
                (Rows::Unreadable(_), _) => {}
                (_, Err(fault)) => *rows = Rows::Unreadable(fault),
                (_, Ok(found)) if found.last_frame > last_frame(log, *shard).await? => {
                    *rows = Rows::Beyond(found.last_frame);
                }
                (_, Ok(found)) => *rows = Rows::Digest(found.digest),
            }
        }
        Ok(derived)
    }

    /// The digest of one shard's rows once more.
    pub(super) async fn scan_again(
        &self,
        log: &dyn EventLog,
        shard: Shard,
    ) -> Result<Option<Hash>, LogError> {
        match log.derived_rows(&self.key, &self.bounds).await {
            Ok(rows) => Ok(rows.get(usize::from(shard.0)).map(|rows| rows.digest)),
            Err(LogError::Corrupt(..)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn bound(&self, shard: Shard) -> u64 {
        self.bounds.get(usize::from(shard.0)).copied().unwrap_or(0)
    }

    pub(super) fn rows(&self, shard: Shard) -> &Rows {
        self.rows.get(usize::from(shard.0)).unwrap_or(&Rows::ToLookUp)
    }

    /// Whether rows are looked up.
    pub(super) fn looks_up(&self) -> bool {
        self.looks_up
    }

    /// For the rows that frames lead to; `None` where they are looked up.
    pub(super) fn digest(&self) -> Option<DerivedDigest> {
        (!self.looks_up()).then(|| DerivedDigest::new(&self.key))
    }
}

/// Looks up every event and command of a shard's log in its derived rows: slow, but it names the place.
pub(super) async fn first_difference(
    log: &dyn EventLog,
    shard: Shard,
    bound: u64,
) -> Result<Option<Fault>, LogError> {
    let mut walk = Walk::from_frame(log, shard, 1);
    loop {
        let frames = walk.page().await?;
        if frames.first().is_none_or(|frame| frame.header.slot.frame > bound) {
            return Ok(None);
        }
        if let Some(fault) = first_missing(log, shard, &frames, bound).await? {
            return Ok(Some(fault));
        }
    }
}

/// The first of what these frames lead to that isn't in the derived rows, of frames up to `bound`.
pub(super) async fn first_missing(
    log: &dyn EventLog,
    shard: Shard,
    frames: &[DecidedFrame],
    bound: u64,
) -> Result<Option<Fault>, LogError> {
    let frames = || frames.iter().filter(|frame| frame.header.slot.frame <= bound);
    let mut streams: BTreeMap<&StreamId, Vec<&Arc<RecordedEvent>>> = BTreeMap::new();
    for event in frames().flat_map(|frame| &frame.events) {
        streams.entry(&event.stream).or_default().push(event);
    }
    let runs = streams.values().flat_map(|events| events.chunks(TOGETHER));
    let runs: Vec<_> = runs.map(|run| missing_event(log, run)).collect();
    let mut faults: Vec<Fault> = futures::stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|fault| std::future::ready(Ok(fault)))
        .try_collect()
        .await?;
    let commands = frames().flat_map(|frame| {
        let (number, n) = (frame.header.slot.frame, frame.header.first_position);
        frame.repeatable().map(move |(_, command)| (number, n, command.id))
    });
    let commands = commands.map(|(number, n, id)| async move {
        let position = Position { shard, n };
        let reason = match log.command_result(shard, id).await {
            // An id may be accepted again later; its latest result counts.
            Ok(Some(found)) if found.frame >= number => return Ok(None),
            Ok(_) => format!("the result of command {id} is not in the derived rows"),
            Err(error) => as_fault(position, error)?.reason,
        };
        Ok::<_, LogError>(Some(Fault { position, reason }))
    });
    let commands: Vec<_> = commands.collect();
    faults.extend(
        futures::stream::iter(commands)
            .buffer_unordered(AT_ONCE)
            .try_filter_map(|fault| std::future::ready(Ok(fault)))
            .try_collect::<Vec<_>>()
            .await?,
    );
    Ok(faults.into_iter().min_by_key(|fault| fault.position.n))
}

/// The first of a stream's events, of versions that follow each other, that isn't in the derived rows.
async fn missing_event(log: &dyn EventLog, run: &[&Arc<RecordedEvent>]) -> Result<Option<Fault>, LogError> {
    let Some(first) = run.first() else { return Ok(None) };
    if let Ok(found) = log.read_stream(&first.stream, first.version - 1, run.len()).await
        && found.iter().eq(run.iter().map(|event| &***event))
    {
        return Ok(None);
    }
    // One by one, to name it.
    for event in run {
        let reason = match log.read_stream(&event.stream, event.version - 1, 1).await {
            Ok(found) if found.first() == Some(&***event) => continue,
            Ok(_) => format!("version {} of {} is not in the derived rows", event.version, event.stream),
            Err(error) => as_fault(event.position, error)?.reason,
        };
        return Ok(Some(Fault { position: event.position, reason }));
    }
    Ok(None)
}

/// Of streams whose first event here isn't their first one: the version before stands before `first_position`, as derived rows have it.
pub(super) async fn versions_before(
    log: &dyn EventLog,
    met: &[(StreamId, u64, Position)],
    first_position: u64,
) -> Result<Option<Fault>, LogError> {
    let looks = met.iter().map(|(stream, version, position)| async move {
        let reason = match log.read_stream(stream, version - 2, 1).await {
            Ok(found) if found.first().is_some_and(|event| event.position.n < first_position) => {
                return Ok(None);
            }
            Ok(_) => format!("version {version} of {stream} doesn't follow the one before"),
            Err(error) => as_fault(*position, error)?.reason,
        };
        Ok::<_, LogError>(Some(Fault { position: *position, reason }))
    });
    let looks: Vec<_> = looks.collect();
    let faults: Vec<Fault> = futures::stream::iter(looks)
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|fault| std::future::ready(Ok(fault)))
        .try_collect()
        .await?;
    Ok(faults.into_iter().min_by_key(|fault| fault.position.n))
}
