SELECT shard, position, marked, frame, hash FROM checkpoints WHERE projection = ?1 ORDER BY shard
