INSERT INTO pointers (shard, stream, version, frame, event) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING
