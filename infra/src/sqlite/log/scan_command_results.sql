SELECT id, frame, record FROM command_results
WHERE shard = ?1 AND (id, frame, record) > (?2, ?3, ?4)
ORDER BY id, frame, record
LIMIT ?5
