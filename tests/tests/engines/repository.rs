//! A cqrs-es application over the log on Cassandra.

use super::owners::Cassandra;

tests::repository_contract!(Cassandra);
