INSERT INTO {table} (subject, key) VALUES ($1, $2) ON CONFLICT (subject) DO NOTHING
