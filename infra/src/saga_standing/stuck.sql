-- Of several reasons of one saga the first counts, by its rank.
SELECT tenant, order_id, substr(min(ranked), 2) AS reason, min(since) AS since FROM (
    -- A step needs somebody.
    SELECT tenant, order_id, '1' || needs AS ranked, needs_since AS since FROM sagas WHERE needs IS NOT NULL
    UNION ALL
    -- Work is older than its bound; what waits for the provider or the carrier may hold commands up too.
    SELECT tenant, saga_id AS order_id, CASE lane WHEN 'commands' THEN '3' ELSE '2' END || lane || '_overdue' AS ranked,
        coalesce(due_at, opened_at) AS since FROM saga_work
    WHERE opened_version > 0 AND closed_version = 0 AND coalesce(due_at, opened_at) <= $1
    UNION ALL
    -- It has neither ended nor anything to do or to wait for.
    SELECT tenant, order_id, '4halted' AS ranked, updated_at AS since FROM sagas AS s
    WHERE started_at IS NOT NULL AND status IN ('running', 'compensating') AND waiting_for IS NULL
      AND NOT EXISTS (
          SELECT 1 FROM saga_work AS w
          WHERE w.opened_version > 0 AND w.closed_version = 0 AND w.tenant = s.tenant AND w.saga_id = s.order_id
      )
) AS stuck
GROUP BY tenant, order_id
ORDER BY min(since), order_id
LIMIT $2
