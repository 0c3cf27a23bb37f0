-- Letters that should follow an earlier one of their stream, and don't.
SELECT count(*) FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[]) AS w (tenant, stream_type, stream_id, version)
WHERE NOT EXISTS (
    SELECT 1 FROM dead_letters AS d
    WHERE d.projection = $1 AND d.generation = $2 AND d.tenant = w.tenant AND d.stream_type = w.stream_type
      AND d.stream_id = w.stream_id AND d.version < w.version
)
