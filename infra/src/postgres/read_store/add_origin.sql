-- What a schema of an older program lacks; it may go on beside it.
ALTER TABLE store ADD COLUMN IF NOT EXISTS log uuid;
ALTER TABLE checkpoints ADD COLUMN IF NOT EXISTS marked bigint, ADD COLUMN IF NOT EXISTS frame bigint,
    ADD COLUMN IF NOT EXISTS hash bytea;
