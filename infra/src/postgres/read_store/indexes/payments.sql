CREATE INDEX IF NOT EXISTS payments_by_order ON payments (tenant, order_id);
