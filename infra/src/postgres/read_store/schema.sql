-- What the read models' schema holds besides the views of the projections' tables.
CREATE TABLE store (
    one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    -- Random, made with the schema.
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- The layout of the tables in this file.
    layout integer NOT NULL,
    -- The store whose log the rows are made from; null before the first are.
    log uuid
);

INSERT INTO store (layout) VALUES (1);

CREATE TABLE projections (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    -- Of the live generation.
    version integer NOT NULL,
    -- The one that the views show.
    generation integer NOT NULL,
    -- The one that was live before and can be again; null when there is none.
    previous_generation integer,
    -- Numbers are never used twice.
    last_generation integer NOT NULL,
    live_since timestamptz NOT NULL DEFAULT now()
);

-- The tables of a generation are in the schema <schema>_<projection>_<generation>.
CREATE TABLE generations (
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    version integer NOT NULL,
    -- The columns of its tables, and the statements that made its indexes: a difference means building it anew, or indexing it anew.
    shape text NOT NULL,
    indexes text NOT NULL DEFAULT '',
    PRIMARY KEY (projection, generation)
);

CREATE TABLE checkpoints (
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    shard integer NOT NULL,
    -- The last position applied; 0 before the first.
    position bigint NOT NULL,
    -- The position that the frame is of: an older program moves only the other one.
    marked bigint,
    -- The number and the hash of the frame that holds it.
    frame bigint,
    hash bytea,
    PRIMARY KEY (projection, generation, shard)
) WITH (fillfactor = 20);

-- Of projections whose rows are elsewhere, as the search index, the generation is 0.
CREATE TABLE dead_letters (
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    shard integer NOT NULL,
    n bigint NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    stream_type text COLLATE "C" NOT NULL,
    stream_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    -- The event's stored form, byte for byte.
    event bytea NOT NULL,
    reason text NOT NULL,
    parked_at timestamptz NOT NULL,
    PRIMARY KEY (projection, generation, shard, n)
);

CREATE UNIQUE INDEX dead_letters_by_stream
    ON dead_letters (projection, generation, tenant, stream_type, stream_id, version);

CREATE VIEW progress AS
SELECT c.projection, c.shard, c.position
FROM checkpoints AS c JOIN projections AS p ON p.name = c.projection AND p.generation = c.generation;
