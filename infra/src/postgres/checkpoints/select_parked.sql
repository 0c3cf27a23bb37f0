-- The generation is 0 where the rows are elsewhere, as in the search index.
SELECT d.projection, count(DISTINCT (d.tenant, d.stream_type, d.stream_id)) AS streams, count(*) AS events
FROM dead_letters AS d LEFT JOIN projections AS p ON p.name = d.projection
WHERE d.generation = COALESCE(p.generation, 0)
GROUP BY d.projection
