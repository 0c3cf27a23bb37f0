SELECT shard, n, event, reason, parked_at FROM dead_letters
WHERE projection = ?1 AND tenant = ?2 AND stream_type = ?3 AND stream_id = ?4
ORDER BY version LIMIT ?5
