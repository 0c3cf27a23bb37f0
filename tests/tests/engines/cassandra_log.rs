//! The log port's contract over Cassandra.
