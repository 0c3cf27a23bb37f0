SELECT order_id, line, product_id, sku, name, quantity, unit_price_amount, line_total_amount, currency
FROM order_lines WHERE tenant = ?
