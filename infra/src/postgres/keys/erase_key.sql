INSERT INTO {table} (subject, key) VALUES ($1, NULL) ON CONFLICT (subject) DO UPDATE SET key = NULL
