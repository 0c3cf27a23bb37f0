INSERT INTO store (only_row, id) VALUES (1, ?1)
