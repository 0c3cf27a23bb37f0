-- log.db: the log itself, and nothing that could be made again.

-- One row: which store this is.
CREATE TABLE store (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    id BLOB NOT NULL CHECK (length(id) = 16),
    shards INTEGER NOT NULL CHECK (shards BETWEEN 1 AND 1024),
    -- Grows with every commit that follows one of unknown outcome; see writer.rs.
    settled INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The decided frames. slot = shard << 48 | frame, so a shard's frames are one range of keys. Rows are never updated or deleted.
-- last_position (the shard's last position once the frame is decided) is an aid for finding a position; only bytes are proof.
CREATE TABLE log (
    slot INTEGER PRIMARY KEY,
    last_position INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;

PRAGMA user_version = 1;
