UPDATE checkpoints SET position = ?4 WHERE projection = ?1 AND shard = ?2 AND position = ?3
