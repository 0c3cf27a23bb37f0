-- One row per charge. `status` is what was decided; an authorised charge counts as captured from `captures_at` on.
CREATE TABLE charges (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    key            TEXT NOT NULL UNIQUE,
    id             TEXT NOT NULL UNIQUE,
    payment_id     TEXT NOT NULL,
    order_id       TEXT NOT NULL,
    amount         INTEGER NOT NULL CHECK (amount > 0),
    currency       TEXT NOT NULL,
    method         TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('authorized', 'captured', 'declined', 'voided')),
    decline_reason TEXT,
    captures_at    INTEGER
) STRICT;

-- Keys that were called off before a charge under them arrived.
CREATE TABLE tombstones (
    key TEXT PRIMARY KEY
) STRICT;

CREATE TABLE refunds (
    refund_id TEXT PRIMARY KEY,
    charge    INTEGER NOT NULL REFERENCES charges (seq),
    amount    INTEGER NOT NULL CHECK (amount > 0),
    reference TEXT NOT NULL UNIQUE
) STRICT;

CREATE INDEX refunds_by_charge ON refunds (charge);

CREATE TABLE bookings (
    key         TEXT PRIMARY KEY,
    reference   TEXT NOT NULL UNIQUE,
    shipment_id TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    country     TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('booked', 'refused', 'cancelled'))
) STRICT;

PRAGMA user_version = 1;
