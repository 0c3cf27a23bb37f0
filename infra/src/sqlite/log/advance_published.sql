INSERT INTO progress (shard, published_through) VALUES (?1, ?2)
ON CONFLICT (shard) DO UPDATE SET published_through = max(published_through, excluded.published_through)
