SELECT tenant, stream_type, stream_id, min(version) AS first, count(*) AS letters FROM dead_letters
WHERE projection = $1 AND generation = $2
GROUP BY tenant, stream_type, stream_id ORDER BY tenant, stream_type, stream_id
