SELECT EXISTS (
    SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'hash' AND NOT attisdropped
)
