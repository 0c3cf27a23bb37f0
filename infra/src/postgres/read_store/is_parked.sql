SELECT EXISTS (
    SELECT 1 FROM dead_letters
    WHERE projection = $1 AND generation = COALESCE((SELECT generation FROM projections WHERE name = $1), 0)
      AND tenant = $2 AND stream_type = $3 AND stream_id = $4
)
