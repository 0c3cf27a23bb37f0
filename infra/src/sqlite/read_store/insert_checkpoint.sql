INSERT INTO checkpoints (projection, shard, position) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING
