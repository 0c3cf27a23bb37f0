SELECT key FROM {table} WHERE subject = $1
