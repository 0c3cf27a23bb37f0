SELECT frame, record FROM command_results WHERE shard = ?1 AND id = ?2 ORDER BY frame DESC, record DESC LIMIT 1
