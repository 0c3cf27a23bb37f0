SELECT frame, event, version, stream FROM pointers WHERE shard = ?1 ORDER BY frame, event, version, stream
