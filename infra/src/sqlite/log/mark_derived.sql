INSERT INTO progress (shard, marked, hash) VALUES (?1, ?2, ?3)
ON CONFLICT (shard) DO UPDATE SET marked = excluded.marked, hash = excluded.hash
