CREATE INDEX IF NOT EXISTS saga_work_due ON saga_work (lane, due_at) WHERE opened_version > 0 AND closed_version = 0;
CREATE INDEX IF NOT EXISTS saga_work_next ON saga_work (due_at) WHERE opened_version > 0 AND closed_version = 0;
CREATE INDEX IF NOT EXISTS saga_work_of_order ON saga_work (tenant, order_id)
    WHERE opened_version > 0 AND closed_version = 0;
