-- Keys of charges and bookings, and refunds, that were refused for good: none is ever carried out later.
CREATE TABLE refusals (
    key    TEXT PRIMARY KEY,
    reason TEXT NOT NULL
) STRICT;

-- How the provider and the carrier are; up while they aren't named.
CREATE TABLE switches (
    name  TEXT PRIMARY KEY CHECK (name IN ('payments', 'carrier')),
    value TEXT NOT NULL CHECK (value IN ('up', 'down', 'refusing'))
) STRICT;

PRAGMA user_version = 2;
