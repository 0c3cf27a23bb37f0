SELECT derived_through, published_through, tail_hint FROM progress WHERE shard = ?1
