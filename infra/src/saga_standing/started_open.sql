coalesce(s.started_at, (
                    SELECT min(w.opened_at) FROM saga_work AS w
                    WHERE w.opened_version > 0 AND w.closed_version = 0
                      AND w.tenant = k.tenant AND w.saga_id = k.order_id
                ))
