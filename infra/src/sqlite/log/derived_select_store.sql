SELECT id FROM store WHERE only_row = 1
