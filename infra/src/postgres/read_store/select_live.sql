SELECT least(p.version, g.version), p.generation, p.previous_generation, g.shape
FROM projections AS p JOIN generations AS g ON g.projection = p.name AND g.generation = p.generation
WHERE p.name = $1
