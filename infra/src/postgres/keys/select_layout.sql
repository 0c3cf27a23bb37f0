SELECT version FROM layout WHERE only_row = 1
