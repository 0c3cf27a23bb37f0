//! Writing snapshots: one for each fold of a stream; see the port.

use domain::ports::log::StoredSnapshot;
use domain::position::Shard;
use domain::stream::StreamId;
use rusqlite::{Connection, TransactionBehavior};

use super::derived::WriteError;
use crate::derived_digest::stream_key;

pub(super) fn write(
    conn: &mut Connection,
    shard: Shard,
    shards: u16,
    snapshots: &[(StreamId, StoredSnapshot)],
) -> Result<(), WriteError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (stream, snapshot) in snapshots {
        if stream.shard(shards) != shard {
            return Err(WriteError::refused(stream, format!("its snapshot came with shard {shard}")));
        }
        let (key, contents) = (stream_key(stream), &snapshot.contents);
        tx.prepare_cached(include_str!("upsert_snapshot.sql"))?.execute((
            shard.0,
            &key,
            contents.fold_id(),
            snapshot.version,
            snapshot.created_at,
            snapshot.updated_at,
            &contents.state,
            contents.fold,
        ))?;
        let superseded = include_str!("delete_superseded_snapshots.sql");
        tx.prepare_cached(superseded)?.execute((shard.0, &key, contents.fold_id()))?;
    }
    Ok(tx.commit()?)
}
