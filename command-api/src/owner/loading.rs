//! An aggregate from its snapshot and derived rows; the frame loop adds the overlay.

use domain::Timestamp;
use domain::command::CommandError;
use domain::ports::log::LogError;
use domain::stream::StreamId;

use super::Shared;
use super::streams::Entry;

const PAGE: usize = 1_000;

/// Where a failed read leaves its caller.
pub(super) fn unavailable(error: LogError) -> CommandError {
    match error {
        LogError::Unavailable(reason) => CommandError::Unavailable(reason),
        corrupt @ LogError::Corrupt(..) => CommandError::Internal(corrupt.to_string()),
    }
}

/// Loads a stream as far as derived rows go.
pub(super) async fn load(shared: &Shared, stream: &StreamId) -> Result<Entry, CommandError> {
    let mut entry = Entry::initial(&shared.registry, stream)
        .ok_or_else(|| CommandError::Internal(format!("no aggregate of type {}", stream.kind())))?;
    if let Some(snapshot) = shared.log.read_snapshot(stream).await.map_err(unavailable)? {
        match shared.registry.restore(stream.kind(), &snapshot.contents) {
            Some(state) => {
                entry.state = state;
                entry.meta.version = snapshot.version;
                entry.snapshot = (snapshot.version, snapshot.contents.state.len());
                entry.meta.created_at = instant(snapshot.created_at);
                entry.meta.updated_at = instant(snapshot.updated_at);
            }
            None => tracing::debug!(%stream, "ignored a snapshot of another fold"),
        }
    }
    loop {
        let events = shared.log.read_stream(stream, entry.meta.version, PAGE).await.map_err(unavailable)?;
        for event in &events {
            entry.apply(event).map_err(CommandError::Internal)?;
        }
        if events.len() < PAGE {
            return Ok(entry);
        }
    }
}

fn instant(micros: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
