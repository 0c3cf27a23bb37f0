INSERT INTO dead_letters
    (projection, shard, n, tenant, stream_type, stream_id, version, event, reason, parked_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT DO NOTHING
