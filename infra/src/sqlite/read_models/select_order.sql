SELECT order_id, status, reason, total_amount, currency, payment_id, payment_status, shipment_id, shipment_status,
       paid_payment_id, paid_shipment_id, customer_id, payment_method, order_version, created_at, updated_at,
       payment_version, shipment_version
FROM orders WHERE order_version > 0 AND tenant = ?
