UPDATE checkpoints SET position = ?4, marked = ?4, frame = ?5, hash = ?6
WHERE projection = ?1 AND shard = ?2 AND position = ?3
