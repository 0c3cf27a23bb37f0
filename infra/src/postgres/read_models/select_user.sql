SELECT user_id, email, name, roles::text AS roles, user_version, created_at, updated_at FROM users WHERE tenant = $1
