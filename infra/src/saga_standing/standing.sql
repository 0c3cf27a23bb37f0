SELECT order_id, started, status, step, waiting_for, since, reason, attempts FROM (
    SELECT order_id, started, waiting_for,
        CASE WHEN is_stuck THEN 'stuck'
             WHEN own_status IN ('completed', 'compensated') THEN 'ended'
             WHEN own_status = 'compensating' THEN 'compensating'
             WHEN waiting_for IS NOT NULL THEN 'waiting'
             ELSE 'running' END AS status,
        CASE WHEN needs IS NOT NULL THEN needs_step
             WHEN own_status IN ('completed', 'compensated') AND NOT is_stuck THEN NULL
             ELSE own_step END AS step,
        CASE WHEN needs IS NOT NULL THEN needs_since
             WHEN late IS NOT NULL THEN late
             WHEN is_stuck THEN updated_at
             WHEN waiting_for IS NOT NULL AND own_status = 'running' THEN waiting_since
             ELSE status_since END AS since,
        CASE WHEN needs IS NOT NULL THEN needs
             WHEN late IS NOT NULL THEN late_lane || '_overdue'
             WHEN is_stuck THEN 'halted'
             ELSE own_reason END AS reason,
        CASE WHEN needs IS NOT NULL THEN needs_attempts ELSE coalesce(own_attempts, 0) END AS attempts
    FROM (
        SELECT facts.*,
            needs IS NOT NULL OR late IS NOT NULL
                OR (own_status IN ('running', 'compensating') AND waiting_for IS NULL AND NOT has_work) AS is_stuck
        FROM (
            SELECT {key}.order_id AS order_id, s.started_at AS started_at, s.status AS own_status,
                s.status_since AS status_since, s.waiting_for AS waiting_for, s.waiting_since AS waiting_since,
                s.reason AS own_reason, s.step AS own_step, s.attempts AS own_attempts, s.needs AS needs,
                s.needs_step AS needs_step, s.needs_attempts AS needs_attempts, s.needs_since AS needs_since,
                s.updated_at AS updated_at,
                {started} AS started,
                EXISTS (
                    SELECT 1 FROM saga_work AS w
                    WHERE w.opened_version > 0 AND w.closed_version = 0
                      AND w.tenant = {key}.tenant AND w.saga_id = {key}.order_id
                ) AS has_work,
                (
                    SELECT min(coalesce(w.due_at, w.opened_at)) FROM saga_work AS w
                    WHERE w.opened_version > 0 AND w.closed_version = 0
                      AND w.tenant = {key}.tenant AND w.saga_id = {key}.order_id
                      AND coalesce(w.due_at, w.opened_at) <= $2
                ) AS late,
                (
                    SELECT substr(min(CASE w.lane WHEN 'commands' THEN '2' ELSE '1' END || w.lane), 2) FROM saga_work AS w
                    WHERE w.opened_version > 0 AND w.closed_version = 0
                      AND w.tenant = {key}.tenant AND w.saga_id = {key}.order_id
                      AND coalesce(w.due_at, w.opened_at) <= $2
                ) AS late_lane
            FROM {from}
            WHERE {key}.tenant = $1
        ) AS facts
    ) AS judged
) AS standing
WHERE started IS NOT NULL
  AND ($3 IS NULL OR status = $3)
  AND ($4 IS NULL OR reason = $4)
  AND ($5 IS NULL OR since <= $5)
  AND ($6 IS NULL OR (started, order_id) > ($6, $7))
  AND ($8 IS NULL OR order_id = $8)
ORDER BY started, order_id
LIMIT $9
