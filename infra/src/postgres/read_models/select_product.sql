SELECT product_id, sku, name, description, category, attributes::text AS attributes, price_amount, currency, discontinued,
       product_version, created_at, updated_at, sort_name
FROM products WHERE tenant = $1
