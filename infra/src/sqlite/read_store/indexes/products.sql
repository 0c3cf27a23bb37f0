CREATE INDEX IF NOT EXISTS products_by_created ON products (tenant, discontinued, created_at, product_id);
CREATE INDEX IF NOT EXISTS products_by_category ON products (tenant, discontinued, category_key, created_at, product_id);
CREATE INDEX IF NOT EXISTS products_by_price ON products (tenant, discontinued, currency, price_amount, created_at, product_id);
CREATE INDEX IF NOT EXISTS products_by_name ON products (tenant, discontinued, sort_name, created_at, product_id);
