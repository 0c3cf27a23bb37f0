INSERT INTO command_results (shard, id, frame, record) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING
