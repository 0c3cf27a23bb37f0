//! The owners' contract over Cassandra.
