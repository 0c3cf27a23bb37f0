SELECT refund_id, amount, currency, reason, sealed_reason, settled, failure
FROM refunds WHERE tenant = ?1 AND payment_id = ?2 ORDER BY accepted_version, refund_id
