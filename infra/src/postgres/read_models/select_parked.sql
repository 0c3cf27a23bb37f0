SELECT 1 FROM dead_letters
WHERE tenant = $1 AND projection = $2 AND generation = COALESCE((SELECT generation FROM projections WHERE name = $2), 0)
