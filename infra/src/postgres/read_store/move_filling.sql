-- The same for generations that aren't live, which nobody swaps.
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
        AS m (projection, generation, shard, old, new, frame, hash)
), moved AS (
    UPDATE checkpoints AS c SET position = w.new, marked = w.new, frame = w.frame, hash = w.hash
    FROM wanted AS w
    WHERE c.projection = w.projection AND c.generation = w.generation AND c.shard = w.shard AND c.position = w.old
    RETURNING c.shard
)
SELECT count(*) FROM moved
