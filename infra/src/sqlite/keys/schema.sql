-- keys.db: the keys under which personal data is sealed.

-- A subject whose key is NULL was erased: it never gets another one.
CREATE TABLE subject_keys (
    subject TEXT NOT NULL PRIMARY KEY,
    key BLOB CHECK (key IS NULL OR length(key) = 32)
) STRICT;

-- One row: the key of the digests that look values up.
CREATE TABLE blind_key (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    key BLOB NOT NULL CHECK (length(key) = 32)
) STRICT;

PRAGMA user_version = 1;
