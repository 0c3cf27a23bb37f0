-- derived.db: pure functions of log.db. The file may be deleted while nobody uses it; its rows are then made again.

-- One row: the store whose log these rows were made from.
CREATE TABLE store (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    id BLOB NOT NULL CHECK (length(id) = 16)
) STRICT;

-- Where each event of a stream stands. stream = tenant, type and id, each prefixed by its length.
CREATE TABLE pointers (
    shard INTEGER NOT NULL,
    stream BLOB NOT NULL,
    version INTEGER NOT NULL,
    frame INTEGER NOT NULL,
    event INTEGER NOT NULL,
    PRIMARY KEY (shard, stream, version)
) STRICT, WITHOUT ROWID;

-- Where the record of each accepted command stands. An id may be accepted again once its first answer is no longer kept, so the
-- place is part of the key; the latest one counts.
CREATE TABLE command_results (
    shard INTEGER NOT NULL,
    id BLOB NOT NULL,
    frame INTEGER NOT NULL,
    record INTEGER NOT NULL,
    PRIMARY KEY (shard, id, frame, record)
) STRICT, WITHOUT ROWID;

-- The latest snapshot of a stream as programs before `fold_snapshots` keep it; times in microseconds since 1970.
CREATE TABLE snapshots (
    shard INTEGER NOT NULL,
    stream BLOB NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    fold BLOB NOT NULL,
    PRIMARY KEY (shard, stream)
) STRICT;

-- How far the work behind the log has come; see the port's `Progress`.
CREATE TABLE progress (
    shard INTEGER PRIMARY KEY,
    derived_through INTEGER NOT NULL DEFAULT 0,
    published_through INTEGER NOT NULL DEFAULT 0,
    tail_hint INTEGER NOT NULL DEFAULT 0,
    -- The frame of which the next column has the hash: an older program moves only derived_through.
    marked INTEGER NOT NULL DEFAULT 0,
    hash BLOB
) STRICT;

PRAGMA user_version = 1;
