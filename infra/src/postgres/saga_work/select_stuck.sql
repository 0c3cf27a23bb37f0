SELECT tenant, order_id, updated_at FROM sagas AS s
WHERE started_at IS NOT NULL AND status IN ('running', 'compensating') AND waiting_for IS NULL
  AND NOT EXISTS (
    SELECT 1 FROM saga_work AS w
    WHERE w.opened_version > 0 AND w.closed_version = 0 AND w.tenant = s.tenant AND w.order_id = s.order_id
  )
ORDER BY updated_at LIMIT $1
