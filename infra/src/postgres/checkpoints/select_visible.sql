SELECT p.name AS projection, p.generation, g.version, g.shape,
       ARRAY(
           SELECT c.position FROM checkpoints AS c
           WHERE c.projection = p.name AND c.generation = p.generation ORDER BY c.shard
       ) AS positions
FROM projections AS p JOIN generations AS g ON g.projection = p.name AND g.generation = p.generation
