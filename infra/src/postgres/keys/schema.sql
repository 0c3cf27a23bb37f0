-- The keys under which personal data is sealed, and what the instances keep secret together. Unqualified names mean the schema.

-- One row: the layout of these tables.
CREATE TABLE IF NOT EXISTS layout (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    version integer NOT NULL
);
INSERT INTO layout (only_row, version) VALUES (1, 1) ON CONFLICT DO NOTHING;

-- A subject whose key is null was erased: it never gets another one.
CREATE TABLE IF NOT EXISTS subject_keys (
    subject text COLLATE "C" PRIMARY KEY,
    key bytea CHECK (octet_length(key) = 32)
);

-- One row: the key of the digests that look values up.
CREATE TABLE IF NOT EXISTS blind_key (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    key bytea NOT NULL CHECK (octet_length(key) = 32)
);

-- What all instances share: made once, by whoever comes first.
CREATE TABLE IF NOT EXISTS secrets (
    name text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
