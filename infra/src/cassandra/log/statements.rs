//! The prepared statements, and the timestamps that plain writes carry.

use scylla::client::session::Session;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use crate::cassandra::connect::deciding;
use crate::cassandra::open_error::{OpenError, failed};
use crate::cassandra::url::CassandraUrl;

/// Frame numbers and versions stay below this, so that [`stamp`] can hold one beside a generation.
pub(super) const MAX_NUMBER: u64 = (1 << 40) - 1;

/// The timestamp of a plain write. Of two writes to a cell, servers keep the one with the higher timestamp, in whatever order
/// they arrive; so a checkpoint that carries its own value as its timestamp never goes back, without a conditional write, a read
/// before it or any clock, whoever writes and however late. `number` is the value that may only grow.
///
/// The generation grows each time derived rows are dropped: the tombstones carry the last timestamp before it. They hide all
/// rows of generations before, also those that a slow owner still writes, and none of those that are made again. Clocks of
/// servers play no part in it.
///
/// ScyllaDB refuses timestamps that are far in the future, read as microseconds since 1970; that would be met after more than a
/// thousand drops of a shard.
pub(in crate::cassandra) fn stamp(generation: u64, number: u64) -> i64 {
    (generation.min(1 << 22) << 40 | number.min(MAX_NUMBER)) as i64
}

/// The last timestamp before a generation.
pub(super) fn stamp_before(generation: u64) -> i64 {
    stamp(generation, 0) - 1
}

macro_rules! statements {
    ($($name:ident: $kind:ident),+ $(,)?) => {
        /// Every statement that the log and the leases execute, prepared.
        pub(in crate::cassandra) struct Statements {
            $(pub(in crate::cassandra) $name: PreparedStatement,)+
        }

        impl Statements {
            /// Prepares them all.
            pub(super) async fn prepare(
                session: &Session,
                url: &CassandraUrl,
                datacenter: &str,
            ) -> Result<Self, OpenError> {
                let decide = deciding(url, datacenter);
                Ok(Self {$(
                    $name: {
                        let cql = include_str!(concat!("../cql/", stringify!($name), ".cql"));
                        let mut statement = session.prepare(cql).await.map_err(failed(stringify!($name)))?;
                        match Kind::$kind {
                            Kind::Plain => statement.set_is_idempotent(true),
                            Kind::Conditional => statement.set_execution_profile_handle(Some(decide.clone())),
                        }
                        statement
                    },
                )+})
            }
        }
    };
}

/// How a statement may be executed.
enum Kind {
    /// Reads, and writes that may be repeated.
    Plain,
    /// Conditional writes, which the driver must not repeat.
    Conditional,
}

statements! {
    insert_frame: Conditional,
    select_frame: Plain,
    select_frames: Plain,
    select_last: Plain,
    select_place: Plain,
    select_places: Plain,
    select_progress: Plain,
    advance_derived: Plain,
    mark_derived: Plain,
    select_mark: Plain,
    advance_tail_hint: Plain,
    advance_published: Plain,
    reset_derived: Plain,
    insert_event: Plain,
    insert_command_result: Plain,
    insert_snapshot: Plain,
    select_events: Plain,
    select_event_places: Plain,
    select_snapshots: Plain,
    select_snapshot: Plain,
    delete_snapshot: Plain,
    select_command_result: Plain,
    scan_events: Plain,
    scan_command_results: Plain,
    scan_event_partitions: Plain,
    scan_command_partitions: Plain,
    scan_snapshot_partitions: Plain,
    delete_events: Plain,
    delete_command_results: Plain,
    delete_snapshots: Plain,
    select_lease: Plain,
    replace_lease: Conditional,
    announce: Plain,
    withdraw: Plain,
    select_instances: Plain,
}

/// The statement as a serial read: it settles what conditional writes before it left open.
pub(in crate::cassandra) fn serial(statement: &PreparedStatement) -> PreparedStatement {
    let mut statement = statement.clone();
    statement.set_consistency(Consistency::LocalSerial);
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_with_their_number_and_more_with_the_generation() {
        assert!(stamp(0, 1) > 0 && stamp(0, 2) > stamp(0, 1));
        assert!(stamp_before(1) >= stamp(0, MAX_NUMBER) && stamp(1, 0) > stamp_before(1));
        // Drops of a shard before ScyllaDB would call a timestamp one of the future (2026).
        assert!(stamp(1_000, MAX_NUMBER) < 1_790_000_000_000_000);
    }
}
