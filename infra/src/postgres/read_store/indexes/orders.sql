CREATE INDEX IF NOT EXISTS orders_by_created ON orders (tenant, created_at, order_id);
CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (tenant, customer_id, created_at, order_id);
CREATE INDEX IF NOT EXISTS orders_by_status ON orders (tenant, status, created_at, order_id);
