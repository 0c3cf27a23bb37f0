SELECT payment_id, order_id, customer_id, status, amount, captured_amount, refunded_amount, currency, decline_reason,
       payment_version, created_at, updated_at,
       (
           SELECT json_agg(json_build_object(
               'id', refund_id, 'amount', amount, 'currency', currency, 'reason', reason,
               'sealed_reason', sealed_reason, 'settled', settled,
               'failure', failure
           ) ORDER BY accepted_version, refund_id)::text
           FROM refunds AS r WHERE r.tenant = p.tenant AND r.payment_id = p.payment_id
       ) AS refunds
FROM payments AS p WHERE tenant = $1
