//! The contract of the write path over any event log: what P1–P5 promise to the callers of owners, under lost replies, late
//! writes, depositions, pauses and kills. A backend passes it by `owners_contract!(Backend)`.

pub mod behind;
pub mod deposed;
pub mod kills;
pub mod note;
pub mod panics;
pub mod repeats;
pub mod state;
pub mod unknown;
pub mod world;

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::log::EventLog;

pub use world::World;

/// Makes event logs for the contract.
#[async_trait]
pub trait FreshLog: Send + Sync + Sized + 'static {
    /// A new, empty store; what it stands on lives as long as the value.
    async fn fresh(shards: u16) -> Self;

    /// The log of that store.
    fn log(&self) -> Arc<dyn EventLog>;
}

/// Declares one test per case of the owners' contract, over a [`FreshLog`].
#[macro_export]
macro_rules! owners_contract {
    ($backend:ty) => {
        $crate::owners_contract!(@ $backend:
            unknown { applied_then_timed_out, timed_out_then_sent_again,
                a_refusal_after_a_time_out_is_no_outcome, late_write_after_a_newer_fence,
                late_write_before_the_fence, not_written_is_unavailable_and_recovers, open_slot_answers_nobody }
            deposed { a_deposed_owner_refuses_nothing_from_stale_state, a_deposed_owner_tells_no_stale_state,
                a_paused_owner_loses_its_frame, a_paused_owner_refuses_nothing,
                a_refusal_decided_on_a_lost_frame_is_no_answer, a_deposed_owner_takes_over_again_when_told,
                a_loser_finds_its_command_in_the_winners_frames,
                a_loser_that_cannot_read_the_winners_frames_does_not_say_no, a_fence_of_unknown_outcome_is_put_once,
                epochs_grow_with_every_owner }
            repeats { a_repeat_gets_the_stored_answer, a_repeat_with_another_body_is_refused,
                a_refused_command_is_judged_anew, two_at_once_are_decided_once, repeats_survive_a_change_of_owner,
                an_accepted_command_without_events_is_remembered }
            state { commands_on_a_cold_stream_keep_their_order, the_last_pieces_are_sold_once,
                steps_are_decided_together_or_not_at_all, snapshots_and_events_give_the_same_state,
                a_snapshot_of_another_fold_is_ignored,
                a_usable_snapshot_behind_one_of_another_fold_is_used, a_backlog_of_cold_streams_loads_each_once,
                snapshots_are_in_nobodys_way, derived_rows_that_fail_are_told, loss_of_all_derived_rows_loses_nothing,
                time_never_goes_back_within_a_shard, a_full_queue_is_told_and_loses_nothing,
                a_stop_answers_what_was_accepted, a_command_too_large_for_a_frame_is_refused,
                a_stale_expected_version_is_refused, frames_verify }
            behind { a_failed_load_leaves_nothing_behind, a_failed_lookup_leaves_nothing_behind,
                a_load_under_way_sees_what_is_acknowledged_meanwhile,
                commands_behind_a_lost_frame_keep_their_order, derived_rows_far_behind_hold_the_frames_up,
                snapshots_claim_only_what_is_written, partitions_stay_as_small_as_they_should, states_that_left_memory_come_back,
                a_stop_ends_while_storage_hangs, shards_take_turns_and_wait_for_no_open_slot }
            panics { a_panic_in_a_decision_costs_its_frame_only, a_panic_while_taking_over_again_is_no_end,
                a_shard_that_cannot_be_taken_over_again_is_left_to_others }
            kills { a_kill_at_every_step_loses_and_doubles_nothing }
        );
    };
    (@ $backend:ty: $($module:ident { $($case:ident),+ $(,)? })+) => {
        $(mod $module {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::contract::owners::$module::$case::<$backend>().await;
            })+
        })+
    };
}
