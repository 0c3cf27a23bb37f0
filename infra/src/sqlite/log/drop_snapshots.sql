DELETE FROM snapshots WHERE shard = ?1
