CREATE INDEX IF NOT EXISTS events_by_stream ON events (tenant, stream_type, stream_id, event_version);
CREATE INDEX IF NOT EXISTS events_by_type ON events (tenant, event_type, shard, n);
CREATE INDEX IF NOT EXISTS events_by_actor ON events (tenant, actor, shard, n);
CREATE INDEX IF NOT EXISTS events_by_correlation ON events (tenant, correlation_id, shard, n);
