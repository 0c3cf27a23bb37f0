SELECT shard, n, event_id, time, tenant, stream_type, stream_id, event_version, event_type, schema_version,
       correlation_id, causation_id, actor, data::text AS data
FROM events WHERE tenant = $1
