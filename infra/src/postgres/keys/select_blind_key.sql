SELECT key FROM blind_key WHERE only_row = 1
