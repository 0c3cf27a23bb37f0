//! Given/when/then of every flow: a story tells the saga what happened, and compares what it asks for.

mod people;
mod story;

use domain::payments::payment::DeclineReason;

use super::action::{ChargeResult, Outcome};
use super::events::Signal;
use super::state::Fulfilment;
use super::steps::StepName::*;
use super::{FulfilmentError, Trigger};
use crate::fulfilment::config::FulfilmentConfig;
use story::{CANCEL, Story, authorized, booked, captured, id, order};

// proves: SAG-1
#[test]
fn an_order_is_fulfilled() {
    let mut story = Story::paid();
    // proves: SHP-1
    story.signal(Signal::ShipmentDispatched, &["commit-1"]);
    story.accepted(Commit(1), &["mark-shipped"]);
    story.accepted(MarkShipped, &["waiting delivery"]);
    story.signal(Signal::ShipmentDelivered, &["mark-delivered"]);
    story.accepted(MarkDelivered, &["complete"]);
    story.accepted(Complete, &["completed"]);
}

#[test]
fn signals_that_come_early_are_remembered() {
    let mut story = Story::booking();
    story.done(BookCarrier, booked(), &["deadline booking cleared", "record-shipment-created"]);
    story.signal(Signal::ShipmentDelivered, &[]);
    story.signal(Signal::ShipmentDispatched, &[]);
    story.accepted(RecordShipmentCreated, &["confirm-payment"]);
    story.accepted(ConfirmPayment, &["commit-1"]);
    story.accepted(Commit(1), &["mark-shipped"]);
    story.accepted(MarkShipped, &["mark-delivered"]);
}

// proves: INV-2
#[test]
fn one_sold_out_line_releases_the_others() {
    let mut story = Story::new();
    story.placed(3, &["started", "deadline reservation set", "reserve-1", "reserve-2", "reserve-3"]);
    story.accepted(Reserve(3), &[]);
    story.refused(Reserve(2), "out-of-stock", &["compensating out_of_stock", "deadline reservation cleared"]);
    story.accepted(Reserve(1), &["release-1", "withdraw-2", "release-3"]);
    story.accepted(Release(3), &[]);
    story.accepted(Withdraw(2), &[]);
    story.accepted(Release(1), &["reject"]);
    story.accepted(Reject, &["compensated out_of_stock"]);
}

// proves: PAY-3
#[test]
fn a_decline_releases_the_stock() {
    let mut story = Story::charging();
    let declined = ChargeResult::Declined { reason: DeclineReason::InsufficientFunds };
    story.charge(Charge, declined, &["record-declined"]);
    story.accepted(
        RecordDeclined,
        &["compensating payment_declined", "deadline reservation cleared", "release-1"],
    );
    story.released("payment_declined");
}

// proves: PAY-3
#[test]
fn a_lost_reply_is_looked_up_and_the_order_goes_on() {
    let mut story = Story::charging();
    story.charge(Charge, ChargeResult::Unknown, &["record-unknown"]);
    story.accepted(RecordUnknown, &["mark-payment-unknown"]);
    story.accepted(MarkPaymentUnknown, &["deadline lookup-1 set"]);
    story.pass(1);
    story.due("lookup-1", &["lookup"]);
    story.charge(Lookup, ChargeResult::NotFound, &["deadline lookup-2 set"]);
    story.pass(2);
    story.due("lookup-2", &["lookup again (2)"]);
    story.charge(Lookup, captured(), &["deadline reservation cleared", "record-captured"]);
    story.accepted(RecordCaptured, &["request-shipment"]);
}

/// Unknown, and three look-ups find nothing.
#[track_caller]
fn voiding() -> Story {
    let mut story = Story::charging();
    story.charge(Charge, ChargeResult::Unknown, &["record-unknown"]);
    story.accepted(RecordUnknown, &["mark-payment-unknown"]);
    story.accepted(MarkPaymentUnknown, &["deadline lookup-1 set"]);
    story.pass(1);
    story.due("lookup-1", &["lookup"]);
    story.charge(Lookup, ChargeResult::NotFound, &["deadline lookup-2 set"]);
    story.pass(2);
    story.due("lookup-2", &["lookup again (2)"]);
    story.charge(Lookup, ChargeResult::NotFound, &["deadline lookup-3 set"]);
    story.pass(4);
    story.due("lookup-3", &["lookup again (3)"]);
    story.charge(Lookup, ChargeResult::NotFound, &["void"]);
    story
}

// proves: PAY-3
#[test]
fn a_charge_that_never_arrived_is_voided_and_the_order_cancelled() {
    let mut story = voiding();
    story.charge(Void, ChargeResult::Voided, &["record-voided"]);
    story.accepted(
        RecordVoided,
        &["compensating payment_timeout", "deadline reservation cleared", "release-1"],
    );
    story.released("payment_timeout");
}

// proves: PAY-3
#[test]
fn a_charge_that_was_captured_before_the_void_counts() {
    let mut story = voiding();
    story.charge(Void, captured(), &["deadline reservation cleared", "record-captured"]);
    story.accepted(RecordCaptured, &["request-shipment"]);
}

#[test]
fn an_authorised_charge_is_asked_for_until_it_is_captured() {
    let mut story = Story::charging();
    story.charge(Charge, authorized(), &["record-authorized"]);
    story.accepted(RecordAuthorized, &["deadline lookup-1 set"]);
    for (n, pause) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 4)] {
        story.pass(pause);
        let lookup = if n == 1 { "lookup".to_owned() } else { format!("lookup again ({n})") };
        story.due(&format!("lookup-{n}"), &[&lookup]);
        story.charge(Lookup, authorized(), &[&format!("deadline lookup-{} set", n + 1)]);
    }
    story.pass(4);
    story.due("lookup-6", &["lookup again (6)"]);
    story.charge(Lookup, captured(), &["deadline reservation cleared", "record-captured"]);
}

#[test]
fn a_carrier_that_refuses_is_refunded_and_restocked() {
    let mut story = Story::booking();
    let refused = Outcome::BookingRefused { reason: "no route".into() };
    story.done(BookCarrier, refused, &["deadline booking cleared", "record-shipment-failed"]);
    story.accepted(
        RecordShipmentFailed,
        &["compensating shipment_failed", "refund-payment", "deadline patience set"],
    );
    story.refund("shipment_failed");
}

// proves: ORD-2
#[test]
fn a_cancel_before_the_charge_charges_nothing() {
    let mut story = Story::new();
    story.placed(1, &["started", "deadline reservation set", "reserve-1"]);
    story.signal(CANCEL, &["compensating customer_request", "deadline reservation cleared"]);
    story.accepted(Reserve(1), &["release-1"]);
    story.released("customer_request");

    let mut story = Story::new();
    story.placed(1, &["started", "deadline reservation set", "reserve-1"]);
    story.accepted(Reserve(1), &["confirm-stock"]);
    story.accepted(ConfirmStock, &["initiate-payment"]);
    story.signal(CANCEL, &["compensating customer_request", "deadline reservation cleared"]);
    story.accepted(InitiatePayment, &["record-voided"]);
    story.accepted(RecordVoided, &["release-1"]);
    story.released("customer_request");
}

#[test]
fn a_cancel_that_overtakes_the_order_is_remembered() {
    let mut story = Story::new();
    story.signal(CANCEL, &[]);
    story.placed(1, &["started", "compensating customer_request", "cancel"]);
    story.accepted(Cancel, &["compensated customer_request"]);
}

// proves: ORD-2, PAY-3
#[test]
fn a_cancel_during_the_charge_waits_for_its_outcome() {
    let cancelled = || {
        let mut story = Story::charging();
        story.signal(
            CANCEL,
            &["compensating customer_request", "deadline reservation cleared", "deadline patience set"],
        );
        story
    };
    let mut late_success = cancelled();
    late_success.charge(Charge, captured(), &["record-captured"]);
    late_success.accepted(RecordCaptured, &["refund-payment"]);
    late_success.refund("customer_request");

    let mut declined = cancelled();
    let result = ChargeResult::Declined { reason: DeclineReason::Declined };
    declined.charge(Charge, result, &["record-declined"]);
    declined.accepted(RecordDeclined, &["deadline patience cleared", "release-1"]);
    declined.released("customer_request");

    for undecided in [ChargeResult::Unknown, authorized()] {
        let mut voided = cancelled();
        voided.charge(Charge, undecided.clone(), &["void"]);
        voided.charge(Void, ChargeResult::Voided, &["record-voided"]);
        voided.accepted(RecordVoided, &["deadline patience cleared", "release-1"]);
        voided.released("customer_request");

        let mut late = cancelled();
        late.charge(Charge, undecided, &["void"]);
        late.charge(Void, captured(), &["record-captured"]);
        late.accepted(RecordCaptured, &["refund-payment"]);
        late.refund("customer_request");
    }
}

// proves: ORD-2
#[test]
fn a_cancel_of_a_paid_order_calls_the_shipment_off_first() {
    let mut story = Story::called_off();
    story.accepted(CancelCarrier, &[]);
    story.refund("customer_request");
}

#[test]
fn a_payment_that_was_refunded_before_isnt_refunded_twice() {
    let mut story = Story::called_off();
    story.accepted(CancelCarrier, &[]);
    story.done(RefundPayment, Outcome::NothingToRefund, &["deadline patience cleared", "release-1"]);
    story.released("customer_request");
}

// proves: ORD-2
#[test]
fn a_cancel_after_the_dispatch_is_refused_and_the_order_goes_on() {
    let mut story = Story::paid();
    story.signal(CANCEL, &["cancel-shipment"]);
    story.refused(CancelShipment, "shipment-dispatched", &["refuse-cancellation"]);
    story.accepted(RefuseCancellation, &["waiting dispatch"]);
    let again = Signal::CancellationRequested { order_version: 9 };
    story.signal(again, &["cancel-shipment again (2)"]);
    story.refused(CancelShipment, "shipment-dispatched", &["refuse-cancellation again (2)"]);
    story.signal(Signal::ShipmentDispatched, &[]);
    story.accepted(RefuseCancellation, &["commit-1"]);
    story.accepted(Commit(1), &["mark-shipped"]);
}

#[test]
fn a_second_cancel_waits_until_the_first_is_refused() {
    let mut story = Story::paid();
    story.signal(Signal::ShipmentDispatched, &["commit-1"]);
    story.signal(CANCEL, &["refuse-cancellation"]);
    story.signal(Signal::CancellationRequested { order_version: 9 }, &[]);
    story.accepted(RefuseCancellation, &["refuse-cancellation again (2)"]);
    story.accepted(RefuseCancellation, &[]);
    story.accepted(Commit(1), &["mark-shipped"]);
}

// proves: ORD-2
#[test]
fn a_cancel_while_the_carrier_is_booked_doesnt_wait_for_the_carrier() {
    let off = ["compensating customer_request", "cancel-carrier", "refund-payment", "deadline patience set"];
    let mut story = Story::booking();
    story.signal(CANCEL, &["cancel-shipment"]);
    story.done(BookCarrier, booked(), &["deadline booking cleared"]);
    story.accepted(CancelShipment, &off);
    story.accepted(CancelCarrier, &[]);
    story.refund("customer_request");

    let mut story = Story::booking();
    story.signal(CANCEL, &["cancel-shipment"]);
    let refused = Outcome::BookingRefused { reason: "no route".into() };
    story.done(BookCarrier, refused, &["deadline booking cleared"]);
    story.accepted(
        CancelShipment,
        &["compensating customer_request", "refund-payment", "deadline patience set"],
    );
    story.refund("customer_request");
}

#[test]
fn a_cancel_that_arrives_after_the_end_is_refused() {
    let mut story = Story::paid();
    story.signal(Signal::ShipmentDispatched, &["commit-1"]);
    story.accepted(Commit(1), &["mark-shipped"]);
    story.signal(Signal::ShipmentDelivered, &[]);
    story.accepted(MarkShipped, &["mark-delivered"]);
    story.accepted(MarkDelivered, &["complete"]);
    story.accepted(Complete, &["completed"]);
    story.signal(CANCEL, &["refuse-cancellation"]);
    story.accepted(RefuseCancellation, &[]);
}

// proves: INV-2
#[test]
fn the_reservations_deadline_cancels_what_isnt_paid() {
    let mut story = Story::charging();
    story.charge(Charge, authorized(), &["record-authorized"]);
    story.accepted(RecordAuthorized, &["deadline lookup-1 set"]);
    let early = Trigger::DeadlineReached { name: "reservation".into() };
    assert_eq!(story.decide(&early), Err(FulfilmentError::NotDue("reservation".into())));
    story.pass(15 * 60);
    story.due(
        "reservation",
        &["compensating payment_timeout", "deadline lookup-1 cleared", "void", "deadline patience set"],
    );
    story.charge(Void, ChargeResult::Voided, &["record-voided"]);
    story.accepted(RecordVoided, &["deadline patience cleared", "release-1"]);
    story.released("payment_timeout");
}

#[test]
fn a_saga_that_starts_too_late_to_reserve_gives_up() {
    let mut story = Story::new();
    story.placed(1, &["started", "deadline reservation set", "reserve-1"]);
    story.refused(
        Reserve(1),
        "reservation-expired",
        &["compensating payment_timeout", "deadline reservation cleared", "withdraw-1"],
    );
    story.accepted(Withdraw(1), &["cancel"]);
    story.accepted(Cancel, &["compensated payment_timeout"]);
}

// proves: SAG-4
#[test]
fn a_refusal_that_cant_be_needs_somebody() {
    let mut story = Story::charging();
    story.charge(Charge, captured(), &["deadline reservation cleared", "record-captured"]);
    story.refused(RecordCaptured, "illegal-transition", &["record-captured needs somebody: step_refused"]);
    let saga = &story.saga;
    assert!(saga.ended.is_none() && saga.waiting.is_none() && !saga.is_busy() && !saga.has_open_deadline());
}

#[test]
fn outcomes_of_other_attempts_and_other_orders_change_nothing() {
    let mut story = Story::charging();
    let stale = Trigger::StepFinished { step: Charge, attempt: 2, outcome: Outcome::Accepted };
    assert_eq!(story.decide(&stale), Ok(Vec::new()));
    let unasked = Trigger::StepFinished { step: Void, attempt: 1, outcome: Outcome::Accepted };
    assert_eq!(story.decide(&unasked), Ok(Vec::new()));
    let cleared = Trigger::DeadlineReached { name: "nothing".into() };
    assert_eq!(story.decide(&cleared), Ok(Vec::new()));
    story.saga = Fulfilment::default();
    let terms = FulfilmentConfig::default().terms();
    let other = Trigger::OrderPlaced { order_id: id(9), order: Box::new(order(1)), terms };
    assert_eq!(story.decide(&other), Err(FulfilmentError::OtherOrder));
    assert_eq!(
        Fulfilment::default(),
        serde_json::from_str(&serde_json::to_string(&story.saga).unwrap()).unwrap()
    );
}
