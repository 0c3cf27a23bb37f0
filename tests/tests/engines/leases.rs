//! Leases of shards over Cassandra.
