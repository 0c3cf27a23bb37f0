INSERT INTO dead_letters
    (projection, generation, shard, n, tenant, stream_type, stream_id, version, event, reason, parked_at)
SELECT $1, $2, * FROM unnest(
    $3::integer[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bytea[], $10::text[], $11::timestamptz[]
)
ON CONFLICT DO NOTHING
