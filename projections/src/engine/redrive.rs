//! Redrive: parked events applied after all, once what made them fail is corrected.

use domain::position::Position;
use domain::stream::StreamId;

use crate::engine::model::Projection;
use crate::engine::rows::RowChange;
use crate::engine::store::{DeadLetter, Redrive, RowStore, StoreError};

/// How many letters are settled in one transaction.
const PAGE: usize = 500;

/// A stream that still can't be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillParked {
    /// The stream.
    pub stream: StreamId,
    /// Its first event that fails.
    pub position: Position,
    /// Why.
    pub reason: String,
}

/// What a redrive did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedriveReport {
    /// How many streams were parked.
    pub streams: u64,
    /// How many of their events were applied.
    pub applied: u64,
    /// The streams that fail again.
    pub still_parked: Vec<StillParked>,
}

/// Applies the parked events of a projection: each stream's in order, as far as they go. Safe beside running consumers
/// and other redrives: every letter is settled once.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Moved`]: what was applied stays applied; repeat.
pub async fn redrive(store: &dyn RowStore, projection: &dyn Projection) -> Result<RedriveReport, StoreError> {
    let loaded = store.load(projection.name()).await?;
    if let Some(reason) = loaded.foreign {
        return Err(StoreError::Unavailable(reason));
    }
    let mut parked = loaded.parked;
    parked.sort();
    let mut report = RedriveReport { streams: parked.len() as u64, ..RedriveReport::default() };
    for (stream, _) in parked {
        let failed = redrive_stream(store, projection, &stream, &mut report.applied).await?;
        report.still_parked.extend(failed);
    }
    Ok(report)
}

async fn redrive_stream(
    store: &dyn RowStore,
    projection: &dyn Projection,
    stream: &StreamId,
    applied: &mut u64,
) -> Result<Option<StillParked>, StoreError> {
    let mut page = PAGE;
    loop {
        let letters = store.letters(projection.name(), stream, page).await?;
        let (ready, failed) = map_prefix(projection, &letters);
        if ready.is_empty() {
            return Ok(failed.map(|(letter, reason)| still_parked(letter, reason)));
        }
        let step = Redrive {
            projection: projection.name(),
            letters: letters[..ready.len()].iter().map(|l| l.event.position).collect(),
            changes: ready.into_iter().flatten().collect(),
        };
        let count = step.letters.len();
        match store.redrive(step).await {
            Ok(()) => *applied += count as u64,
            // One by one, up to the event that the store refuses.
            Err(StoreError::Refused(_)) if count > 1 => page = 1,
            Err(StoreError::Refused(reason)) => return Ok(letters.first().map(|l| still_parked(l, reason))),
            Err(error) => return Err(error),
        }
    }
}

/// The changes of each letter up to the first one that can't be mapped.
fn map_prefix<'a>(
    projection: &dyn Projection,
    letters: &'a [DeadLetter],
) -> (Vec<Vec<RowChange>>, Option<(&'a DeadLetter, String)>) {
    let mut ready = Vec::with_capacity(letters.len());
    for letter in letters {
        match projection.map(&letter.event) {
            Ok(changes) => ready.push(changes),
            Err(error) => return (ready, Some((letter, error.to_string()))),
        }
    }
    (ready, None)
}

fn still_parked(letter: &DeadLetter, reason: String) -> StillParked {
    StillParked { stream: letter.event.stream.clone(), position: letter.event.position, reason }
}
