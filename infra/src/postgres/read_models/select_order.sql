SELECT order_id, status, reason, total_amount, currency, payment_id, payment_status, shipment_id, shipment_status,
       paid_payment_id, paid_shipment_id, customer_id, payment_method, order_version, created_at, updated_at,
       payment_version, shipment_version,
       (
           SELECT json_agg(json_build_object(
               'line', line, 'product_id', product_id, 'sku', sku, 'name', name, 'quantity', quantity,
               'unit_price', unit_price_amount, 'line_total', line_total_amount, 'currency', currency
           ) ORDER BY line)::text
           FROM order_lines AS l WHERE l.tenant = o.tenant AND l.order_id = o.order_id
       ) AS lines
FROM orders AS o WHERE order_version > 0 AND tenant = $1
