SELECT frame, record, id FROM command_results WHERE shard = ?1 ORDER BY frame, record, id
