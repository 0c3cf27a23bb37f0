SELECT version, created_at, updated_at, state, fold FROM snapshots WHERE shard = ?1 AND stream = ?2
