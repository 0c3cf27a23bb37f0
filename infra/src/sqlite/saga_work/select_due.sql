SELECT item, opened_at, due_at FROM saga_work
WHERE opened_version > 0 AND closed_version = 0 AND lane = ?1 AND (due_at IS NULL OR due_at <= ?2)
  AND (opened_at, tenant, id) > (?3, ?4, ?5)
ORDER BY opened_at, tenant, id LIMIT ?6
