SELECT email, name, roles, user_version, created_at, updated_at FROM users WHERE tenant = ?1 AND user_id = ?2
