//! Given/when/then of every flow: a story tells the saga what happened, and compares what it asks for.

use chrono::Duration;
use domain::Timestamp;
use domain::aggregate::{Aggregate, DecisionContext};
use domain::money::{Currency, Money};
use domain::personal::Sealed;
use domain::shop::order::{OrderLine, OrderPlaced, ShippingAddress};
use domain::shop::payment::DeclineReason;
use domain::stream::{DEFAULT_TENANT, StreamId};
use uuid::Uuid;

use super::action::{ChargeResult, Outcome};
use super::events::{Ending, FulfilmentEvent, Signal};
use super::state::Fulfilment;
use super::steps::StepName::{self, *};
use super::{FulfilmentCommand, FulfilmentError, KIND, Trigger};
use crate::config::FulfilmentConfig;

const ORDER: Uuid = Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0001);

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0000 + n)
}

fn order(lines: u32) -> OrderPlaced {
    let price = Money::new(500, Currency::Usd);
    let sealed = |text: &str| Sealed::from_text(format!("v1.{text}"));
    let line = |line| OrderLine {
        line,
        product_id: id(100 + u128::from(line)),
        product_version: 1,
        sku: format!("S-{line}"),
        name: format!("Thing {line}"),
        quantity: 1,
        unit_price: price,
        line_total: price,
    };
    OrderPlaced {
        customer_id: id(7),
        lines: (1..=lines).map(line).collect(),
        total: price.times(lines).unwrap(),
        payment_method: "tok_visa".into(),
        shipping_address: ShippingAddress {
            name: sealed("name"),
            line1: sealed("line1"),
            city: sealed("city"),
            postal_code: sealed("code"),
            country: "DE".into(),
        },
    }
}

/// An event in a few words.
fn told(event: &FulfilmentEvent) -> String {
    match event {
        FulfilmentEvent::Started(_) => "started".into(),
        FulfilmentEvent::StepRequested(e) if e.attempt == 1 => e.step.to_string(),
        FulfilmentEvent::StepRequested(e) => format!("{} again ({})", e.step, e.attempt),
        FulfilmentEvent::StepFinished(_) | FulfilmentEvent::SignalReceived(_) => "noted".into(),
        FulfilmentEvent::DeadlineSet(e) => format!("deadline {} set", e.name),
        FulfilmentEvent::DeadlineCleared(e) => format!("deadline {} cleared", e.name),
        FulfilmentEvent::DeadlineReached(_) => "reached".into(),
        FulfilmentEvent::Compensating(e) => format!("compensating {}", e.reason),
        FulfilmentEvent::Waiting(e) => format!("waiting {}", e.waiting_for.as_str()),
        FulfilmentEvent::Ended(e) => match e.ending {
            Ending::Completed => "completed".into(),
            Ending::Compensated { reason } => format!("compensated {reason}"),
        },
    }
}

struct Story {
    saga: Fulfilment,
    now: Timestamp,
}

impl Story {
    fn new() -> Self {
        Self { saga: Fulfilment::default(), now: Timestamp::from_timestamp(1_735_689_600, 0).unwrap() }
    }

    fn decide(&self, trigger: &Trigger) -> Result<Vec<FulfilmentEvent>, FulfilmentError> {
        let stream = StreamId::new(DEFAULT_TENANT, KIND, ORDER);
        let context = DecisionContext { stream, now: self.now, version: 0 };
        self.saga.decide(&FulfilmentCommand::Handle(trigger.clone()), &context)
    }

    /// When this is told, then the saga records that.
    #[track_caller]
    fn tell(&mut self, trigger: &Trigger, expected: &[&str]) {
        let events = self.decide(trigger).unwrap();
        assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected, "after {trigger:?}");
        events.iter().for_each(|event| self.saga.evolve(event));
        assert_eq!(self.decide(trigger), Ok(Vec::new()), "a repeat changes nothing");
    }

    #[track_caller]
    fn placed(&mut self, lines: u32, expected: &[&str]) {
        let terms = FulfilmentConfig::default().terms();
        self.tell(&Trigger::OrderPlaced { order_id: ORDER, order: Box::new(order(lines)), terms }, expected);
    }

    #[track_caller]
    fn done(&mut self, step: StepName, outcome: Outcome, expected: &[&str]) {
        let attempt = self.saga.steps.get(&step).expect("the step was asked for").attempt;
        let mut all = vec!["noted"];
        all.extend(expected);
        self.tell(&Trigger::StepFinished { step, attempt, outcome }, &all);
    }

    #[track_caller]
    fn accepted(&mut self, step: StepName, expected: &[&str]) {
        self.done(step, Outcome::Accepted, expected);
    }

    #[track_caller]
    fn refused(&mut self, step: StepName, code: &str, expected: &[&str]) {
        self.done(step, Outcome::Refused { code: code.into() }, expected);
    }

    #[track_caller]
    fn charge(&mut self, step: StepName, result: ChargeResult, expected: &[&str]) {
        self.done(step, Outcome::Charge(result), expected);
    }

    #[track_caller]
    fn signal(&mut self, signal: Signal, expected: &[&str]) {
        let mut all = vec!["noted"];
        all.extend(expected);
        self.tell(&Trigger::Signalled(signal), &all);
    }

    #[track_caller]
    fn due(&mut self, name: &str, expected: &[&str]) {
        let mut all = vec!["reached"];
        all.extend(expected);
        self.tell(&Trigger::DeadlineReached { name: name.into() }, &all);
    }

    fn pass(&mut self, seconds: i64) {
        self.now += Duration::seconds(seconds);
    }

    /// One line, stock reserved, the charge on its way.
    #[track_caller]
    fn charging() -> Self {
        let mut story = Self::new();
        story.placed(1, &["started", "deadline reservation set", "reserve-1"]);
        story.accepted(Reserve(1), &["confirm-stock"]);
        story.accepted(ConfirmStock, &["initiate-payment"]);
        story.accepted(InitiatePayment, &["charge"]);
        story
    }

    /// Captured, the shipment asked for.
    #[track_caller]
    fn captured() -> Self {
        let mut story = Self::charging();
        story.charge(Charge, captured(), &["deadline reservation cleared", "record-captured"]);
        story.accepted(RecordCaptured, &["request-shipment"]);
        story
    }

    /// Paid, waiting for the warehouse.
    #[track_caller]
    fn paid() -> Self {
        let mut story = Self::captured();
        story.accepted(RequestShipment, &["book-carrier"]);
        story.done(BookCarrier, booked(), &["record-shipment-created"]);
        story.accepted(RecordShipmentCreated, &["confirm-payment"]);
        story.accepted(ConfirmPayment, &["waiting dispatch"]);
        story
    }

    #[track_caller]
    fn refund(&mut self, reason: &str) {
        self.accepted(RefundPayment, &["waiting refund_settlement"]);
        self.signal(Signal::RefundSettled, &["release-1"]);
        self.released(reason);
    }

    #[track_caller]
    fn released(&mut self, reason: &str) {
        self.accepted(Release(1), &["cancel"]);
        self.accepted(Cancel, &[&format!("compensated {reason}")]);
    }
}

fn captured() -> ChargeResult {
    ChargeResult::Captured { provider_reference: "ch_1".into() }
}

fn authorized() -> ChargeResult {
    ChargeResult::Authorized { provider_reference: "ch_1".into() }
}

fn booked() -> Outcome {
    Outcome::Booked { carrier_reference: "c_1".into() }
}

const CANCEL: Signal = Signal::CancellationRequested { order_version: 2 };

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
    let mut story = Story::captured();
    story.accepted(RequestShipment, &["book-carrier"]);
    story.done(BookCarrier, booked(), &["record-shipment-created"]);
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
    let mut story = Story::captured();
    story.accepted(RequestShipment, &["book-carrier"]);
    let refused = Outcome::BookingRefused { reason: "no route".into() };
    story.done(BookCarrier, refused, &["record-shipment-failed"]);
    story.accepted(RecordShipmentFailed, &["compensating shipment_failed", "refund-payment"]);
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
        story.signal(CANCEL, &["compensating customer_request", "deadline reservation cleared"]);
        story
    };
    let mut late_success = cancelled();
    late_success.charge(Charge, captured(), &["record-captured"]);
    late_success.accepted(RecordCaptured, &["refund-payment"]);
    late_success.refund("customer_request");

    let mut declined = cancelled();
    let result = ChargeResult::Declined { reason: DeclineReason::Declined };
    declined.charge(Charge, result, &["record-declined"]);
    declined.accepted(RecordDeclined, &["release-1"]);
    declined.released("customer_request");

    for undecided in [ChargeResult::Unknown, authorized()] {
        let mut voided = cancelled();
        voided.charge(Charge, undecided.clone(), &["void"]);
        voided.charge(Void, ChargeResult::Voided, &["record-voided"]);
        voided.accepted(RecordVoided, &["release-1"]);
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
    let mut story = Story::paid();
    story.signal(CANCEL, &["cancel-shipment"]);
    story.accepted(CancelShipment, &["compensating customer_request", "cancel-carrier"]);
    story.accepted(CancelCarrier, &["refund-payment"]);
    story.refund("customer_request");
}

#[test]
fn a_payment_that_was_refunded_before_isnt_refunded_twice() {
    let mut story = Story::paid();
    story.signal(CANCEL, &["cancel-shipment"]);
    story.accepted(CancelShipment, &["compensating customer_request", "cancel-carrier"]);
    story.accepted(CancelCarrier, &["refund-payment"]);
    story.done(RefundPayment, Outcome::NothingToRefund, &["release-1"]);
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

#[test]
fn a_cancel_while_the_carrier_is_booked_waits_for_the_answer() {
    let mut story = Story::captured();
    story.accepted(RequestShipment, &["book-carrier"]);
    story.signal(CANCEL, &[]);
    story.done(BookCarrier, booked(), &["cancel-shipment"]);
    story.accepted(CancelShipment, &["compensating customer_request", "cancel-carrier"]);
    story.accepted(CancelCarrier, &["refund-payment"]);
    story.refund("customer_request");

    let mut story = Story::captured();
    story.accepted(RequestShipment, &["book-carrier"]);
    story.signal(CANCEL, &[]);
    let refused = Outcome::BookingRefused { reason: "no route".into() };
    story.done(BookCarrier, refused, &["compensating customer_request", "record-shipment-failed"]);
    story.accepted(RecordShipmentFailed, &["refund-payment"]);
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
    story.due("reservation", &["compensating payment_timeout", "deadline lookup-1 cleared", "void"]);
    story.charge(Void, ChargeResult::Voided, &["record-voided"]);
    story.accepted(RecordVoided, &["release-1"]);
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
fn a_refusal_that_cant_be_halts_the_saga() {
    let mut story = Story::charging();
    story.charge(Charge, captured(), &["deadline reservation cleared", "record-captured"]);
    story.refused(RecordCaptured, "illegal-transition", &[]);
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
