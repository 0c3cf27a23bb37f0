-- The latest snapshot of a stream by each fold; times in microseconds since 1970. Beside the table `snapshots`, which has one for each
-- stream whatever its fold, and which programs before this one write: it is still read.
CREATE TABLE IF NOT EXISTS fold_snapshots (
    shard INTEGER NOT NULL,
    stream BLOB NOT NULL,
    fold_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    fold BLOB NOT NULL,
    PRIMARY KEY (shard, stream, fold_id)
) STRICT;
