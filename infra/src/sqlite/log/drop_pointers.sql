DELETE FROM pointers WHERE shard = ?1
