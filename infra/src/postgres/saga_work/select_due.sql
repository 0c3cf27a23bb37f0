SELECT item::text AS item FROM saga_work
WHERE opened_version > 0 AND closed_version = 0 AND lane = $1 AND (due_at IS NULL OR due_at <= $2)
ORDER BY opened_at LIMIT $3
