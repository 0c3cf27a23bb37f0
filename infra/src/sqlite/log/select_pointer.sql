SELECT frame, event FROM pointers WHERE shard = ?1 AND stream = ?2 AND version = ?3
