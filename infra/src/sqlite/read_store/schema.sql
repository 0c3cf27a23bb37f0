-- What every read database holds besides the projections' own tables.
CREATE TABLE IF NOT EXISTS store (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    -- Random, made with the file.
    id BLOB NOT NULL,
    -- The store whose log the rows were made from; null before the first were.
    log BLOB
) STRICT;

INSERT INTO store (one, id) VALUES (1, randomblob(16)) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS projections (
    name TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    -- The statements that made its tables, and their names as a JSON array: a difference means building it anew.
    ddl TEXT NOT NULL,
    table_names TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How often a projection's rows were begun anew.
CREATE TABLE IF NOT EXISTS generations (
    projection TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS checkpoints (
    projection TEXT NOT NULL,
    shard INTEGER NOT NULL,
    -- The last position applied; 0 before the first.
    position INTEGER NOT NULL,
    -- The position that the frame is of: an older program moves only the other one.
    marked INTEGER,
    -- The number and the hash of the frame that holds it.
    frame INTEGER,
    hash BLOB,
    PRIMARY KEY (projection, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS dead_letters (
    projection TEXT NOT NULL,
    shard INTEGER NOT NULL,
    n INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    stream_type TEXT NOT NULL,
    stream_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    -- The event's stored form, byte for byte.
    event BLOB NOT NULL,
    reason TEXT NOT NULL,
    -- Microseconds since 1970.
    parked_at INTEGER NOT NULL,
    PRIMARY KEY (projection, shard, n)
) STRICT;

CREATE UNIQUE INDEX IF NOT EXISTS dead_letters_by_stream
    ON dead_letters (projection, tenant, stream_type, stream_id, version);
