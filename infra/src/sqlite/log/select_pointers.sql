SELECT version, frame, event FROM pointers WHERE shard = ?1 AND stream = ?2 AND version > ?3 ORDER BY version LIMIT ?4
