-- Keeps the generations from being swapped until the end of the transaction, and moves checkpoints that stand where they should.
WITH live AS MATERIALIZED (
    SELECT name, generation FROM projections WHERE name = ANY ($1) ORDER BY name FOR SHARE
), wanted AS (
    SELECT * FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
        AS m (projection, shard, old, new, frame, hash)
), moved AS (
    UPDATE checkpoints AS c SET position = w.new, marked = w.new, frame = w.frame, hash = w.hash
    FROM wanted AS w JOIN live AS l ON l.name = w.projection
    WHERE c.projection = w.projection AND c.generation = l.generation AND c.shard = w.shard AND c.position = w.old
    RETURNING c.shard
)
SELECT l.name, l.generation, (SELECT count(*) FROM moved) AS moved, pg_notify($8, '')::text AS notified FROM live AS l
