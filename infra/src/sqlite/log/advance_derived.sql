INSERT INTO progress (shard, derived_through, tail_hint) VALUES (?1, ?2, ?2)
ON CONFLICT (shard) DO UPDATE
SET derived_through = max(derived_through, excluded.derived_through), tail_hint = max(tail_hint, excluded.tail_hint)
