//! Any story of several orders that compete for stock: replies get lost, messages come twice and late, customers cancel,
//! the provider is slow. At the end every saga has ended, and what isn't fulfilled is as if it had never been.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod outside;
mod story;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use story::{Mode, Starts, Story};
use world::World;

fn run(tape: Vec<u8>, mode: Mode) -> Story {
    // The clock of time-outs stands still: nothing here takes time.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut story = Story::begin(tape, mode);
        story.play().await;
        story.settle().await;
        story
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    // proves: SAG-1, SAG-4, ORD-2, PAY-1, PAY-2, PAY-3, INV-2
    #[test]
    fn every_order_ends_completed_or_fully_compensated(tape in vec(any::<u8>(), 0..300)) {
        run(tape, Mode::Faulty).check();
    }

    // proves: SAG-1
    #[test]
    fn doubled_messages_change_nothing(tape in vec(any::<u8>(), 0..200)) {
        let once = run(tape.clone(), Mode::Faultless);
        once.check();
        for mode in [Mode::Doubled, Mode::EverythingAgain] {
            let again = run(tape.clone(), mode);
            again.check();
            // What comes again late may find another state, with the same end: a command to reserve that was refused is
            // granted until it is withdrawn, and one that refuses a cancellation refuses the next one, too.
            let granted_late = mode == Mode::EverythingAgain && once.was_refused_stock();
            if !granted_late && !once.was_cancelled_again() {
                prop_assert_eq!(once.difference(&again), None, "{:?}", mode);
            }
        }
    }
}

/// Stories that once failed.
// proves: SAG-1, SAG-4, PAY-3
#[test]
fn stories_that_once_failed_end_well() {
    // A fault is left over when the carrier goes away for good.
    let mut left_over = vec![0; 15];
    left_over.extend([208, 0, 0, 0, 0, 144, 0, 0, 223, 0, 33, 95, 9, 0]);
    // A refund is refused, somebody else gives a part back, and then a person says that the whole was paid back in another way.
    let resolved_twice = vec![
        33, 165, 0, 6, 31, 0, 0, 74, 0, 0, 0, 0, 81, 206, 0, 0, 0, 212, 0, 84, 0, 0, 96, 3, 32, 40, 0, 0, 0,
        0, 0, 0, 144, 0, 0, 52, 32, 44, 64, 220, 223, 0, 58, 180, 128, 22, 20, 29, 23, 32, 33, 159, 218, 0,
        0, 12, 0, 54, 16, 0, 0, 20, 20, 103, 87, 191, 1, 20, 192, 107, 252, 164,
    ];
    for tape in [left_over, resolved_twice] {
        run(tape, Mode::Faulty).check();
    }
}

// proves: SAG-1
#[test]
fn orders_are_fulfilled_when_nothing_goes_wrong() {
    let story = run(Vec::new(), Mode::Faultless);
    story.check();
    assert!(story.all_completed());
}

/// What stands in the log of an order whose streams share its shard, up to `paid`. Nobody reads what was asked and came back at once.
// proves: SAG-1
#[test]
fn an_order_of_one_line_takes_sixteen_events_and_five_frames_up_to_paid() {
    let story = run(Vec::new(), Mode::Faultless);
    let (events, frames) = story.up_to_paid(0);
    let expected = [
        "order.placed",
        "fulfilment.started",
        "fulfilment.step_requested reserve-1",
        "inventory.reserved",
        "fulfilment.step_finished reserve-1",
        "fulfilment.step_requested charge",
        "order.stock_reserved",
        "payment.initiated",
        "fulfilment.step_finished charge",
        "fulfilment.step_requested book-carrier",
        "payment.captured",
        "shipment.requested",
        "fulfilment.step_finished book-carrier",
        "fulfilment.waiting",
        "shipment.created",
        "order.paid",
    ];
    assert_eq!((events, frames), (expected.map(str::to_owned).to_vec(), 5));
}

/// The real loop of the worker, over the same world.
// proves: SAG-1, SAG-3
#[tokio::test(start_paused = true)]
async fn the_worker_carries_everything_out_and_stops_when_told() {
    let story = Story::begin(Vec::new(), Mode::Faultless);
    story.run_worker().await;
    story.check();
    assert!(story.all_completed());
}

/// A provider may have forgotten the key of an old charge, so nothing old may be sent again: neither by a worker that starts on a read
/// model that is being filled, nor by one that runs while its rows are begun anew or put back to an older state.
// proves: SAG-1, EVT-3, P5
#[tokio::test(start_paused = true)]
async fn a_read_model_that_is_filled_anew_fires_nothing_again() {
    for tape in [Vec::new(), (0..=255).collect(), (0..=255).rev().collect()] {
        for starts in [Starts::BeforeTheLoss, Starts::AfterTheLoss] {
            let mut story = Story::begin(tape.clone(), Mode::Faultless);
            let nothing = story.back_up();
            story.play().await;
            let half = story.back_up();
            story.settle().await;
            let before = story.history();
            let losses: [&dyn Fn(&World); 3] =
                [&World::forget_rows, &|world| world.restore(&nothing), &|world| world.restore(&half)];
            for (case, loses) in losses.into_iter().enumerate() {
                let calls = story.fill_anew_under_the_worker(starts, loses).await;
                assert_eq!(calls, 0, "calls of the outside, {starts:?}, case {case}");
                assert_eq!(story.history(), before, "{starts:?}, case {case}");
            }
        }
    }
}

/// What is pushed needs no rows: an order that is placed while they are filled anew goes on, and nothing old does.
// proves: SAG-1, EVT-3
#[tokio::test(start_paused = true)]
async fn pushed_work_goes_on_while_the_read_model_is_lost() {
    for tape in [Vec::new(), (0..=255).collect(), (0..=255).rev().collect()] {
        let mut story = Story::begin(tape, Mode::Faultless);
        story.play().await;
        story.settle().await;
        story.order_while_the_rows_are_lost().await;
    }
}

/// A worker that gets shards that another one had does nothing again of what that one did.
// proves: SAG-1, P7
#[tokio::test(start_paused = true)]
async fn work_that_is_pushed_late_is_not_done_again() {
    for tape in [Vec::new(), (0..=255).collect(), (0..=255).rev().collect()] {
        let mut story = Story::begin(tape, Mode::Faultless);
        assert_eq!(story.feed_brings_late_what_others_did().await, 0);
    }
}
