INSERT INTO store (only_row, id, shards) VALUES (1, ?1, ?2)
