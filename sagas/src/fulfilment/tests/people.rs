//! Those outside who refuse or are away, and the person who ends what can't go on by itself.

use super::story::{CANCEL, Story, authorized, booked, captured};
use crate::fulfilment::action::{ChargeResult, Outcome};
use crate::fulfilment::events::{Resolution, Signal};
use crate::fulfilment::steps::StepName::{self, *};
use crate::fulfilment::{FulfilmentError, Trigger};

fn call_refused() -> Outcome {
    Outcome::CallRefused { reason: "ask again tomorrow".into() }
}

fn resolve(step: StepName) -> Trigger {
    Trigger::Resolve { step, outcome: Resolution::Done, reason: "x".into() }
}

/// Patience is over: stock goes back and the order is cancelled, whoever is away.
#[track_caller]
fn without_patience(story: &mut Story, after: &[&str]) {
    story.pass(5);
    story.due("patience", &["release-1"]);
    story.accepted(Release(1), &["cancel"]);
    story.accepted(Cancel, after);
}

// proves: PAY-3, SAG-1
#[test]
fn a_charge_that_the_provider_refuses_ends_the_order() {
    let mut story = Story::charging();
    let refused = ChargeResult::Refused { reason: "amount not acceptable".into() };
    story.charge(Charge, refused.clone(), &["record-declined"]);
    story.accepted(
        RecordDeclined,
        &["compensating payment_declined", "deadline reservation cleared", "release-1"],
    );
    story.released("payment_declined");

    let mut story = Story::charging();
    story.signal(
        CANCEL,
        &["compensating customer_request", "deadline reservation cleared", "deadline patience set"],
    );
    story.charge(Charge, refused, &["record-declined"]);
    story.accepted(RecordDeclined, &["deadline patience cleared", "release-1"]);
    story.released("customer_request");
}

// proves: SAG-1
#[test]
fn a_booking_that_doesnt_come_about_cancels_the_order_and_is_called_off_when_it_does() {
    let mut story = Story::booking();
    story.pass(30);
    story.due("booking", &["compensating shipment_failed", "cancel-shipment"]);
    story.accepted(CancelShipment, &["refund-payment", "deadline patience set"]);
    story.accepted(RefundPayment, &["waiting refund_settlement"]);
    story.signal(Signal::RefundSettled, &[]);
    without_patience(&mut story, &[]);
    assert!(story.saga.ended.is_none(), "the carrier may book yet");
    story.done(BookCarrier, booked(), &["cancel-carrier"]);
    story.accepted(CancelCarrier, &["compensated shipment_failed"]);
}

// proves: ORD-2, SAG-1
#[test]
fn a_cancel_isnt_held_up_by_a_carrier_that_is_away() {
    let mut story = Story::booking();
    story.signal(CANCEL, &["cancel-shipment"]);
    story.accepted(
        CancelShipment,
        &[
            "compensating customer_request",
            "deadline booking cleared",
            "refund-payment",
            "deadline patience set",
        ],
    );
    story.accepted(RefundPayment, &["waiting refund_settlement"]);
    story.signal(Signal::RefundSettled, &[]);
    without_patience(&mut story, &[]);
    let refused = Outcome::BookingRefused { reason: "no route".into() };
    story.done(BookCarrier, refused, &["compensated customer_request"]);
}

// proves: ORD-2, PAY-3, SAG-1
#[test]
fn a_cancel_isnt_held_up_by_a_provider_that_is_away() {
    // While it is to charge, to say what became of the charge, and to pay back.
    let mut charging = Story::charging();
    charging.signal(
        CANCEL,
        &["compensating customer_request", "deadline reservation cleared", "deadline patience set"],
    );
    without_patience(&mut charging, &[]);
    charging.charge(Charge, captured(), &["record-captured"]);
    charging.accepted(RecordCaptured, &["refund-payment"]);
    charging.accepted(RefundPayment, &["waiting refund_settlement"]);
    charging.signal(Signal::RefundSettled, &["compensated customer_request"]);

    let mut asking = Story::charging();
    asking.charge(Charge, authorized(), &["record-authorized"]);
    asking.accepted(RecordAuthorized, &["deadline lookup-1 set"]);
    asking.pass(1);
    asking.due("lookup-1", &["lookup"]);
    asking.signal(
        CANCEL,
        &["compensating customer_request", "deadline reservation cleared", "void", "deadline patience set"],
    );
    without_patience(&mut asking, &[]);
    asking.charge(Void, ChargeResult::Voided, &["record-voided"]);
    asking.accepted(RecordVoided, &["compensated customer_request"]);
    asking.charge(Lookup, ChargeResult::Voided, &[]);

    let mut paid = Story::called_off();
    paid.accepted(CancelCarrier, &[]);
    paid.accepted(RefundPayment, &["waiting refund_settlement"]);
    without_patience(&mut paid, &["waiting refund_settlement"]);
    paid.signal(Signal::RefundSettled, &["compensated customer_request"]);
}

// proves: PAY-2, SAG-4
#[test]
fn a_refund_that_is_refused_needs_somebody_and_is_tried_again_under_another_id() {
    let mut story = Story::called_off();
    story.accepted(CancelCarrier, &[]);
    story.accepted(RefundPayment, &["waiting refund_settlement"]);
    story.signal(Signal::RefundFailed { attempt: 1 }, &["refund-payment needs somebody: refund_refused"]);
    story.pass(5);
    story.due("patience", &["release-1"]);
    story.accepted(Release(1), &["cancel"]);
    story.person(&Trigger::Retry, &[]);
    story.accepted(Cancel, &["refund-payment again (2)"]);
    story.accepted(RefundPayment, &["waiting refund_settlement"]);
    // An old word of the first attempt says nothing of the second.
    story.signal(Signal::RefundSettled, &["waiting refund_settlement"]);
    story.signal(Signal::LaterRefundSettled { attempt: 2 }, &["compensated customer_request"]);
    assert_eq!(story.decide(&Trigger::Retry), Err(FulfilmentError::NothingToRetry));
}

// proves: PAY-2, SAG-4
#[test]
fn a_person_ends_a_refund_that_the_provider_refuses_or_doesnt_pay() {
    for failed in [true, false] {
        for (outcome, told) in [(Resolution::Done, "resolve-refund"), (Resolution::Refused, "fail-refund")] {
            let mut story = Story::called_off();
            story.accepted(CancelCarrier, &[]);
            story.accepted(RefundPayment, &["waiting refund_settlement"]);
            if failed {
                let needs = "refund-payment needs somebody: refund_refused";
                story.signal(Signal::RefundFailed { attempt: 1 }, &[needs]);
            }
            story.resolve(RefundPayment, outcome, &[told]);
            let step = if outcome == Resolution::Done { ResolveRefund } else { FailRefund };
            story.accepted(step, &["deadline patience cleared", "release-1"]);
            story.released("customer_request");
        }
    }
}

// proves: PAY-3, SAG-4
#[test]
fn a_void_that_is_refused_needs_somebody() {
    let voiding = || {
        let mut story = Story::charging();
        story.signal(
            CANCEL,
            &["compensating customer_request", "deadline reservation cleared", "deadline patience set"],
        );
        story.charge(Charge, ChargeResult::Unknown, &["void"]);
        story.done(Void, call_refused(), &["void needs somebody: void_refused"]);
        story
    };
    let mut again = voiding();
    again.person(&Trigger::Retry, &["void again (2)"]);
    again.charge(Void, captured(), &["record-captured"]);
    again.accepted(RecordCaptured, &["refund-payment"]);
    again.refund("customer_request");

    let mut voided = voiding();
    voided.resolve(Void, Resolution::Done, &["record-voided"]);
    voided.accepted(RecordVoided, &["deadline patience cleared", "release-1"]);
    voided.released("customer_request");

    let mut given_up = voiding();
    given_up.resolve(Void, Resolution::Refused, &["deadline patience cleared", "release-1"]);
    given_up.released("customer_request");
}

// proves: SAG-4
#[test]
fn a_carrier_that_refuses_to_call_off_needs_somebody_and_the_refund_doesnt_wait() {
    for outcome in [Resolution::Done, Resolution::Refused] {
        let mut story = Story::called_off();
        story.done(CancelCarrier, call_refused(), &["cancel-carrier needs somebody: carrier_refused"]);
        story.accepted(RefundPayment, &["waiting refund_settlement"]);
        story.signal(Signal::RefundSettled, &[]);
        without_patience(&mut story, &[]);
        story.resolve(CancelCarrier, outcome, &["compensated customer_request"]);
    }
}

// proves: SAG-4
#[test]
fn a_person_books_or_gives_up_while_the_carrier_is_away() {
    let mut booked = Story::booking();
    booked.resolve(BookCarrier, Resolution::Done, &["deadline booking cleared", "record-shipment-created"]);
    booked.accepted(RecordShipmentCreated, &["confirm-payment"]);

    let mut given_up = Story::booking();
    given_up.resolve(
        BookCarrier,
        Resolution::Refused,
        &["deadline booking cleared", "record-shipment-failed"],
    );
    given_up.accepted(
        RecordShipmentFailed,
        &["compensating shipment_failed", "refund-payment", "deadline patience set"],
    );
    given_up.refund("shipment_failed");
}

// proves: SAG-4
#[test]
fn a_person_can_end_only_what_is_stuck() {
    let mut story = Story::new();
    assert_eq!(story.decide(&Trigger::Retry), Err(FulfilmentError::NotFound));
    assert_eq!(story.decide(&resolve(Void)), Err(FulfilmentError::NotFound));
    story = Story::paid();
    assert_eq!(story.decide(&Trigger::Retry), Err(FulfilmentError::NothingToRetry));
    for step in [Charge, RefundPayment, CancelCarrier, Reserve(1), Complete] {
        assert_eq!(story.decide(&resolve(step)), Err(FulfilmentError::NotResolvable(step)));
    }
    // What became of a charge is the provider's to say.
    assert_eq!(Story::charging().decide(&resolve(Charge)), Err(FulfilmentError::NotResolvable(Charge)));
    // What goes on being tried by itself is noted, and goes on.
    Story::booking().person(&Trigger::Retry, &[]);
}

/// Such a saga has neither work nor a reason to wait, and says what it needs as soon as somebody asks.
// proves: SAG-4
#[test]
fn what_an_older_program_left_halted_can_be_retried() {
    let mut story = Story::charging();
    story.charge(Charge, captured(), &["deadline reservation cleared", "record-captured"]);
    story.refused(RecordCaptured, "illegal-transition", &["record-captured needs somebody: step_refused"]);
    story.saga.needs.clear();
    let events = story.decide(&Trigger::Retry).unwrap();
    let told: Vec<_> = events.iter().map(super::story::told).collect();
    assert_eq!(told, ["record-captured needs somebody: step_refused", "noted", "record-captured again (2)"]);
}

// proves: ORD-2, PAY-2
#[test]
fn a_full_refund_by_others_cancels_until_the_dispatch() {
    let whole = Signal::FullyRefunded { payment_version: 4 };
    let mut story = Story::paid();
    story.signal(whole, &["cancel-shipment"]);
    story.accepted(
        CancelShipment,
        &["compensating customer_request", "cancel-carrier", "refund-payment", "deadline patience set"],
    );
    story.accepted(CancelCarrier, &[]);
    story.done(RefundPayment, Outcome::NothingToRefund, &["deadline patience cleared", "release-1"]);
    story.released("customer_request");

    // The dispatch was first.
    let mut story = Story::paid();
    story.signal(whole, &["cancel-shipment"]);
    story.refused(CancelShipment, "shipment-dispatched", &["refuse-cancellation"]);
    story.accepted(RefuseCancellation, &["waiting dispatch"]);
    story.signal(Signal::ShipmentDispatched, &["commit-1"]);
    let mut story = Story::paid();
    story.signal(Signal::ShipmentDispatched, &["commit-1"]);
    story.signal(whole, &[]);
}
