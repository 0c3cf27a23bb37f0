(
    SELECT tenant, order_id FROM sagas
    WHERE tenant = $1 AND status IN ('running', 'compensating') AND ($8 IS NULL OR order_id = $8)
    UNION
    SELECT tenant, saga_id AS order_id FROM saga_work
    WHERE tenant = $1 AND opened_version > 0 AND closed_version = 0 AND ($8 IS NULL OR saga_id = $8)
)
