-- The same for generations that aren't live, which nobody swaps.
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[])
        AS m (projection, generation, shard, old, new)
), moved AS (
    UPDATE checkpoints AS c SET position = w.new
    FROM wanted AS w
    WHERE c.projection = w.projection AND c.generation = w.generation AND c.shard = w.shard AND c.position = w.old
    RETURNING c.shard
)
SELECT count(*) FROM moved
