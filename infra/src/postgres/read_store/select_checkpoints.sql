SELECT shard, position FROM checkpoints WHERE projection = $1 AND generation = $2 ORDER BY shard
