SELECT projection, array_agg(position ORDER BY shard) AS positions FROM progress GROUP BY projection
