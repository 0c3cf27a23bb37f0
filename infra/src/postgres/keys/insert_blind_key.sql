INSERT INTO blind_key (only_row, key) VALUES (1, $1)
