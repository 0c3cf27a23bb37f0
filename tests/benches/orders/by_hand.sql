CREATE TABLE stock (product int PRIMARY KEY, on_hand bigint NOT NULL, reserved bigint NOT NULL);
CREATE TABLE orders (id uuid PRIMARY KEY, product int NOT NULL, method text NOT NULL, status text NOT NULL, placed timestamptz NOT NULL, ended timestamptz);
CREATE TABLE outbox (seq bigint GENERATED ALWAYS AS IDENTITY, stage int NOT NULL, order_id uuid NOT NULL, PRIMARY KEY (stage, seq));
CREATE TABLE payments (order_id uuid PRIMARY KEY, status text NOT NULL);
CREATE TABLE shipments (order_id uuid PRIMARY KEY);
-- The provider's own books: what it does is durable before it says so.
CREATE TABLE provider_charges (order_id uuid PRIMARY KEY, captured boolean NOT NULL);
INSERT INTO stock SELECT n, 100000000, 0 FROM generate_series(0, 63) n;
