SELECT stream, version, frame, event FROM pointers
WHERE shard = ?1 AND (stream, version) > (?2, ?3)
ORDER BY stream, version
LIMIT ?4
