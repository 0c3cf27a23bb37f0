-- The worker pages through a lane, oldest first.
CREATE INDEX IF NOT EXISTS saga_work_turn ON saga_work (lane, opened_at, tenant, id)
    WHERE opened_version > 0 AND closed_version = 0;
CREATE INDEX IF NOT EXISTS saga_work_of_saga ON saga_work (tenant, saga_id)
    WHERE opened_version > 0 AND closed_version = 0;
-- The few that are neither at their end nor waiting for anything: health asks for them, however many sagas there ever were.
CREATE INDEX IF NOT EXISTS sagas_unattended ON sagas (updated_at)
    WHERE started_at IS NOT NULL AND status IN ('running', 'compensating') AND waiting_for IS NULL;
CREATE INDEX IF NOT EXISTS saga_work_age ON saga_work ((coalesce(due_at, opened_at)))
    WHERE opened_version > 0 AND closed_version = 0;
CREATE INDEX IF NOT EXISTS sagas_needs ON sagas (needs_since) WHERE needs IS NOT NULL;
CREATE INDEX IF NOT EXISTS sagas_open ON sagas (tenant, order_id) WHERE status IN ('running', 'compensating');
CREATE INDEX IF NOT EXISTS sagas_started ON sagas (tenant, started_at, order_id);
