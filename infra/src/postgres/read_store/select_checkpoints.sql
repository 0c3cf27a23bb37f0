SELECT shard, position, marked, frame, hash FROM checkpoints WHERE projection = $1 AND generation = $2 ORDER BY shard
