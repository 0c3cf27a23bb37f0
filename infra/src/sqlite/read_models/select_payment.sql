SELECT order_id, customer_id, status, amount, captured_amount, refunded_amount, currency, decline_reason,
       payment_version, created_at, updated_at
FROM payments WHERE tenant = ?1 AND payment_id = ?2
