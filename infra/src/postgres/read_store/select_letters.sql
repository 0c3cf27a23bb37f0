SELECT shard, n, event, reason, parked_at FROM dead_letters
WHERE projection = $1 AND generation = $2 AND tenant = $3 AND stream_type = $4 AND stream_id = $5
ORDER BY version LIMIT $6
