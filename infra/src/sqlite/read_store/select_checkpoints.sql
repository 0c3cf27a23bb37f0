SELECT shard, position FROM checkpoints WHERE projection = ?1 ORDER BY shard
