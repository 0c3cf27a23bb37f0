SELECT id, shards FROM store WHERE only_row = 1
