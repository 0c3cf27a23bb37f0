SELECT n, event_id FROM events WHERE shard = $1 AND n > $2 AND n <= $3 ORDER BY n LIMIT 2000
