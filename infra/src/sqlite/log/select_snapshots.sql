SELECT version, created_at, updated_at, state, fold FROM fold_snapshots WHERE shard = ?1 AND stream = ?2
UNION ALL
SELECT version, created_at, updated_at, state, fold FROM snapshots WHERE shard = ?1 AND stream = ?2
ORDER BY version DESC
LIMIT ?3
