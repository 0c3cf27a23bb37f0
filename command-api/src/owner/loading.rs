//! An aggregate from its snapshot and derived rows; the frame loop adds the overlay.

use domain::Timestamp;
use domain::command::CommandError;
use domain::ports::log::LogError;
use domain::stream::StreamId;

use super::OwnerShared;
use super::streams::Entry;

/// Events of the first page, and of any.
const FIRST_PAGE: usize = 100;
const PAGES: std::ops::RangeInclusive<usize> = 16..=1_000;
/// About what a page should have, bytes: events may have a mebibyte each.
const PAGE_BYTES: usize = 4 << 20;

/// Where a failed read leaves its caller.
pub(super) fn unavailable(error: LogError) -> CommandError {
    match error {
        LogError::Unavailable(reason) => CommandError::Unavailable(reason),
        corrupt @ LogError::Corrupt(..) => CommandError::Internal(corrupt.to_string()),
    }
}

/// Loads a stream as far as derived rows go.
pub(super) async fn load(shared: &OwnerShared, stream: &StreamId) -> Result<Entry, CommandError> {
    let mut entry = Entry::initial(&shared.registry, stream)
        .ok_or_else(|| CommandError::Internal(format!("no aggregate of type {}", stream.kind())))?;
    // Best effort: a snapshot that can't be read is as good as none.
    let snapshots = match shared.log.read_snapshots(stream).await {
        Err(LogError::Corrupt(what, reason)) => {
            tracing::warn!(%stream, what, reason, "passed over its snapshots");
            Vec::new()
        }
        read => read.map_err(unavailable)?,
    };
    // The newest one that today's fold made: after a rollout, or one taken back, there may be newer ones of another fold.
    let usable = snapshots
        .into_iter()
        .find_map(|snapshot| Some((shared.registry.restore(stream.kind(), &snapshot.contents)?, snapshot)));
    if let Some((state, snapshot)) = usable {
        entry.state = state;
        entry.meta.version = snapshot.version;
        entry.snapshot = (snapshot.version, snapshot.contents.state.len());
        entry.meta.created_at = instant(snapshot.created_at);
        entry.meta.updated_at = instant(snapshot.updated_at);
    }
    let mut page = FIRST_PAGE;
    loop {
        let events = shared.log.read_stream(stream, entry.meta.version, page).await.map_err(unavailable)?;
        for event in &events {
            entry.apply(event).map_err(CommandError::Internal)?;
        }
        if events.len() < page {
            return Ok(entry);
        }
        let bytes: usize = events.iter().map(|event| event.data.len()).sum();
        page = (page * PAGE_BYTES / bytes.max(1)).clamp(*PAGES.start(), *PAGES.end());
    }
}

fn instant(micros: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
