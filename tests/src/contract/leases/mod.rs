//! The contract of leases, handover and asking the owner, over any event log and any leases: several instances of the command side in
//! one process, each with its own owners, keeper and listener. A backend passes it by `leases_contract!(Backend)`.

pub mod asking;
pub mod cluster;
pub mod handover;

use std::sync::Arc;

use domain::ports::leases::Leases;

use super::owners::FreshLog;

/// Event logs with leases.
pub trait FreshLeases: FreshLog {
    /// The leases of that store.
    fn leases(&self) -> Arc<dyn Leases>;
}

/// Declares one test per case of the leases' contract, over a [`FreshLeases`].
#[macro_export]
macro_rules! leases_contract {
    ($backend:ty) => {
        $crate::leases_contract!(@ $backend:
            handover { every_instance_gets_its_fair_share, a_rolling_restart_loses_and_doubles_nothing,
                a_paused_owner_is_replaced_and_finds_out, two_owners_by_force_do_no_harm,
                a_keeper_without_its_leases_keeps_its_shards_until_somebody_takes_them, a_dead_owners_shards_go_to_the_others,
                a_takeover_that_panics_leaves_no_shard_without_an_owner,
                a_keeper_that_panics_is_replaced }
            asking { any_instance_takes_any_command, a_receiver_follows_a_shard_that_moved,
                an_attempt_without_an_answer_is_found_by_its_id, an_outcome_that_stays_unknown_is_told_with_its_id,
                without_an_owner_it_is_unavailable, a_command_that_found_its_owner_too_late_was_not_done, errors_cross_as_they_are,
                requests_that_are_not_a_peers_are_turned_away }
        );
    };
    (@ $backend:ty: $($module:ident { $($case:ident),+ $(,)? })+) => {
        $(mod $module {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::contract::leases::$module::$case::<$backend>().await;
            })+
        })+
    };
}
