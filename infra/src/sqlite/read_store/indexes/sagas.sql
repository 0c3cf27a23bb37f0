CREATE INDEX IF NOT EXISTS saga_work_open ON saga_work (due_at) WHERE opened_version > 0 AND closed_version = 0;
