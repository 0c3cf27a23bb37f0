SELECT marked, hash FROM progress WHERE shard = ?1 AND hash IS NOT NULL AND marked <= derived_through
