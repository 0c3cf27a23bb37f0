INSERT INTO fold_snapshots (shard, stream, fold_id, version, created_at, updated_at, state, fold)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (shard, stream, fold_id) DO UPDATE
SET version = excluded.version, created_at = excluded.created_at, updated_at = excluded.updated_at,
    state = excluded.state, fold = excluded.fold
WHERE excluded.version >= fold_snapshots.version
