SELECT p.name AS projection, p.generation, array_agg(c.position ORDER BY c.shard) AS positions
FROM projections AS p JOIN checkpoints AS c ON c.projection = p.name AND c.generation = p.generation
WHERE p.name = $1 GROUP BY p.name
