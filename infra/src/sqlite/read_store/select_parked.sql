SELECT tenant, stream_type, stream_id, min(version), count(*) FROM dead_letters WHERE projection = ?1
GROUP BY tenant, stream_type, stream_id ORDER BY tenant, stream_type, stream_id
