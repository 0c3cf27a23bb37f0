//! Scanning derived rows for their digest: page by page, so that the write-ahead log can be checkpointed meanwhile.

use domain::command::CommandId;
use domain::ports::log::LogError;
use domain::position::Shard;
use uuid::Uuid;

use super::reads::{ReadFiles, derived_failed};
use crate::derived_digest::DerivedDigest;

/// Rows of a page.
const PAGE: usize = 20_000;

/// Where the scan of a shard is.
pub(super) enum ScanPlace {
    /// After this pointer.
    Pointers { stream: Vec<u8>, version: i64 },
    /// After this command result.
    Commands { id: [u8; 16], frame: i64, record: i64 },
    /// At its end.
    Done,
}

impl ScanPlace {
    pub(super) fn start() -> Self {
        Self::Pointers { stream: Vec::new(), version: -1 }
    }
}

/// Takes a page of rows of frames up to `bound`; answers where the next one begins.
pub(super) fn page(
    files: &ReadFiles,
    shard: Shard,
    place: ScanPlace,
    bound: u64,
    digest: &mut DerivedDigest,
) -> Result<ScanPlace, LogError> {
    let next = match place {
        ScanPlace::Pointers { stream, version } => pointers(files, shard, stream, version, bound, digest),
        ScanPlace::Commands { id, frame, record } => {
            commands(files, shard, (id, frame, record), bound, digest)
        }
        ScanPlace::Done => Ok(ScanPlace::Done),
    };
    next.map_err(derived_failed)
}

fn pointers(
    files: &ReadFiles,
    shard: Shard,
    mut stream: Vec<u8>,
    mut version: i64,
    bound: u64,
    digest: &mut DerivedDigest,
) -> rusqlite::Result<ScanPlace> {
    let mut statement = files.derived.prepare_cached(include_str!("scan_pointers.sql"))?;
    let mut rows = statement.query((shard.0, &stream, version, PAGE))?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let of = row.get_ref(0)?.as_blob()?;
        version = row.get(1)?;
        let frame: i64 = row.get(2)?;
        let event: i64 = row.get(3)?;
        digest.saw(frame as u64);
        if frame as u64 <= bound {
            digest.pointer(frame as u64, event as u64, version as u64, of);
        }
        stream.clear();
        stream.extend_from_slice(of);
        count += 1;
    }
    Ok(match count {
        PAGE => ScanPlace::Pointers { stream, version },
        _ => ScanPlace::Commands { id: [0; 16], frame: -1, record: -1 },
    })
}

fn commands(
    files: &ReadFiles,
    shard: Shard,
    (mut id, mut frame, mut record): ([u8; 16], i64, i64),
    bound: u64,
    digest: &mut DerivedDigest,
) -> rusqlite::Result<ScanPlace> {
    let mut statement = files.derived.prepare_cached(include_str!("scan_command_results.sql"))?;
    let mut rows = statement.query((shard.0, id, frame, record, PAGE))?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        (id, frame, record) = (row.get(0)?, row.get(1)?, row.get(2)?);
        digest.saw(frame as u64);
        if frame as u64 <= bound {
            digest.command(frame as u64, record as u64, CommandId(Uuid::from_bytes(id)));
        }
        count += 1;
    }
    Ok(if count == PAGE { ScanPlace::Commands { id, frame, record } } else { ScanPlace::Done })
}
