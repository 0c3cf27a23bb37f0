//! The contract of the event log's port. [`log_port_contract!`](crate::log_port_contract) makes a test of every case; the cases are
//! generic over a [`LogFactory`], so that every backend passes the same ones.
//!
//! P4 (takeover) and the owner's side of P2, P3 and P5 are above the port and are tested with the frame loop; P7 with the feed.

pub mod derived;
pub mod reads;
pub mod slots;
pub mod verifying;

use std::sync::Arc;

use async_trait::async_trait;
use domain::frame::Slot;
use domain::ports::log::EventLog;

/// The shards of a factory's store. A case uses some of them.
pub const SHARDS: u16 = 4;

/// One store of [`SHARDS`] shards, empty at first, that can be opened again.
#[async_trait]
pub trait LogFactory: Send + Sync {
    /// Opens the store.
    async fn open(&self) -> Arc<dyn EventLog>;

    /// Closes the store and opens it again.
    async fn reopen(&self, log: Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        drop(log);
        self.open().await
    }

    /// Changes the row of a slot behind the port's back, or removes it.
    async fn tamper(&self, slot: Slot, bytes: Option<&[u8]>);
}

/// Makes a test of every case of the contract. `$factory` is an expression for a new [`LogFactory`].
#[macro_export]
macro_rules! log_port_contract {
    ($factory:expr) => {
        $crate::log_port_contract!(@cases $factory, slots:
            rivals_for_a_slot_decide_it_once,
            identical_bytes_sent_again_are_decided,
            a_taken_slot_answers_with_its_row,
            a_frame_that_would_leave_a_hole_is_not_written,
            frames_of_many_shards_are_decided_at_once,
            a_frame_of_another_store_is_not_written,
            a_serial_read_sees_what_was_proposed_before
        );
        $crate::log_port_contract!(@cases $factory, reads:
            pages_have_no_hole_and_keep_the_order,
            every_position_leads_to_its_frame,
            frames_of_a_mebibyte_come_back_as_they_were,
            a_store_opened_again_holds_everything
        );
        $crate::log_port_contract!(@cases $factory, derived:
            streams_are_read_from_derived_rows,
            writing_rows_again_changes_nothing,
            rows_follow_each_other_without_a_hole,
            rows_dropped_and_written_again_are_identical,
            a_pointer_never_changes,
            accepted_commands_are_found_with_their_position,
            the_latest_snapshot_is_kept,
            each_fold_finds_its_own_snapshot_and_superseded_ones_go,
            progress_claims_only_finished_work
        );
        $crate::log_port_contract!(@cases $factory, verifying:
            a_sound_store_verifies_with_its_heads,
            any_changed_byte_is_found_and_located,
            a_dropped_frame_is_found_and_located,
            frames_that_changed_places_are_found_and_located,
            a_forged_frame_is_found_where_the_chain_breaks,
            versions_that_are_not_dense_are_found_and_located,
            a_time_that_goes_back_is_found_and_located,
            a_cut_tail_is_found_while_derived_rows_know_it,
            rows_that_are_just_being_derived_are_no_fault,
            a_verification_ends_while_the_log_grows,
            a_verification_goes_on_from_the_last_one
        );
    };
    (@cases $factory:expr, $module:ident: $($case:ident),+) => {
        mod $module {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::contract::log_port::$module::$case(&$factory).await;
                }
            )+
        }
    };
}
