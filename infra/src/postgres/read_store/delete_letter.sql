-- Only the oldest letter of its stream can be settled.
DELETE FROM dead_letters AS settled
WHERE projection = $1 AND generation = $2 AND shard = $3 AND n = $4 AND NOT EXISTS (
    SELECT 1 FROM dead_letters AS older
    WHERE older.projection = settled.projection AND older.generation = settled.generation
      AND older.tenant = settled.tenant AND older.stream_type = settled.stream_type
      AND older.stream_id = settled.stream_id AND older.version < settled.version
)
