UPDATE progress SET derived_through = 0 WHERE shard = ?1
