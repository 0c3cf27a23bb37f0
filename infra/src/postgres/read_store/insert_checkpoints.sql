INSERT INTO checkpoints (projection, generation, shard, position)
SELECT $1, $2, shard, 0 FROM generate_series(0, $3 - 1) AS shard
ON CONFLICT DO NOTHING
