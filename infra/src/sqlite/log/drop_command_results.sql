DELETE FROM command_results WHERE shard = ?1
