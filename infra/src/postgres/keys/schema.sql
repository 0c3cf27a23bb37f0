-- The keys under which personal data is sealed, and what the instances keep secret together. Unqualified names mean the schema.

-- One row: the layout of these tables.
CREATE TABLE layout (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    version integer NOT NULL
);
INSERT INTO layout (only_row, version) VALUES (1, 1);

-- A subject whose key is null was erased: it never gets another one. Many small tables, since an erasure writes one anew; the program
-- says which one a subject is in. (Of a partition, or of what a view shows, the type of a column can't
-- be changed, which is how it is written anew.)
DO $$
BEGIN
    FOR part IN 0..63 LOOP
        EXECUTE format(
            'CREATE TABLE subject_keys_%s (
                subject text COLLATE "C" PRIMARY KEY,
                key bytea CHECK (octet_length(key) = 32)
            )', part);
    END LOOP;
END
$$;

-- One row: the key of the digests that look values up.
CREATE TABLE blind_key (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    key bytea NOT NULL CHECK (octet_length(key) = 32)
);

-- What all instances share: made once, by whoever comes first.
CREATE TABLE secrets (
    name text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
