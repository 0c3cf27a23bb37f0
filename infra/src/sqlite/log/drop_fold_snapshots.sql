DELETE FROM fold_snapshots WHERE shard = ?1
