//! The saga in a test: told what happened, it is compared with what it should ask for.

use chrono::Duration;
use domain::Timestamp;
use domain::aggregate::{Aggregate, DecisionContext};
use domain::money::{Currency, Money};
use domain::ordering::order::{OrderLine, OrderPlaced, ShippingAddress};
use domain::personal::Sealed;
use domain::stream::{DEFAULT_TENANT, StreamId};
use uuid::Uuid;

use crate::fulfilment::action::{ChargeResult, Outcome};
use crate::fulfilment::config::FulfilmentConfig;
use crate::fulfilment::events::{Ending, FulfilmentEvent, Resolution, Signal};
use crate::fulfilment::state::Fulfilment;
use crate::fulfilment::steps::StepName::{self, *};
use crate::fulfilment::{FulfilmentCommand, FulfilmentError, KIND, Trigger};

pub(super) const ORDER: Uuid = Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0001);

pub(super) fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0000 + n)
}

pub(super) fn order(lines: u32) -> OrderPlaced {
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
        parts: None,
    }
}

/// An event in a few words.
pub(super) fn told(event: &FulfilmentEvent) -> String {
    match event {
        FulfilmentEvent::Started(_) => "started".into(),
        FulfilmentEvent::StepRequested(e) if e.attempt == 1 => e.step.to_string(),
        FulfilmentEvent::StepRequested(e) => format!("{} again ({})", e.step, e.attempt),
        FulfilmentEvent::StepFinished(_)
        | FulfilmentEvent::SignalReceived(_)
        | FulfilmentEvent::Retried(_)
        | FulfilmentEvent::Resolved(_) => "noted".into(),
        FulfilmentEvent::NeedsSomebody(e) => format!("{} needs somebody: {}", e.step, e.need.as_str()),
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

pub(super) struct Story {
    pub(super) saga: Fulfilment,
    now: Timestamp,
}

impl Story {
    pub(super) fn new() -> Self {
        Self { saga: Fulfilment::default(), now: Timestamp::from_timestamp(1_735_689_600, 0).unwrap() }
    }

    pub(super) fn decide(&self, trigger: &Trigger) -> Result<Vec<FulfilmentEvent>, FulfilmentError> {
        let stream = StreamId::new(DEFAULT_TENANT, KIND, ORDER);
        let context = DecisionContext { stream, now: self.now, version: 0 };
        self.saga.decide(&FulfilmentCommand::Handle(trigger.clone()), &context)
    }

    /// When this is told, then the saga records that.
    #[track_caller]
    pub(super) fn tell(&mut self, trigger: &Trigger, expected: &[&str]) {
        let events = self.decide(trigger).unwrap();
        assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected, "after {trigger:?}");
        events.iter().for_each(|event| self.saga.evolve(event));
        assert_eq!(self.decide(trigger), Ok(Vec::new()), "a repeat changes nothing");
    }

    #[track_caller]
    pub(super) fn placed(&mut self, lines: u32, expected: &[&str]) {
        let terms = FulfilmentConfig::default().terms();
        self.tell(&Trigger::OrderPlaced { order_id: ORDER, order: Box::new(order(lines)), terms }, expected);
    }

    #[track_caller]
    pub(super) fn done(&mut self, step: StepName, outcome: Outcome, expected: &[&str]) {
        let attempt = self.saga.steps.get(&step).expect("the step was asked for").attempt;
        let mut all = vec!["noted"];
        all.extend(expected);
        self.tell(&Trigger::StepFinished { step, attempt, outcome }, &all);
    }

    #[track_caller]
    pub(super) fn accepted(&mut self, step: StepName, expected: &[&str]) {
        self.done(step, Outcome::Accepted, expected);
    }

    #[track_caller]
    pub(super) fn refused(&mut self, step: StepName, code: &str, expected: &[&str]) {
        self.done(step, Outcome::Refused { code: code.into() }, expected);
    }

    #[track_caller]
    pub(super) fn charge(&mut self, step: StepName, result: ChargeResult, expected: &[&str]) {
        self.done(step, Outcome::Charge(result), expected);
    }

    #[track_caller]
    pub(super) fn signal(&mut self, signal: Signal, expected: &[&str]) {
        let mut all = vec!["noted"];
        all.extend(expected);
        self.tell(&Trigger::Signalled(signal), &all);
    }

    #[track_caller]
    pub(super) fn due(&mut self, name: &str, expected: &[&str]) {
        let mut all = vec!["reached"];
        all.extend(expected);
        self.tell(&Trigger::DeadlineReached { name: name.into() }, &all);
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += Duration::seconds(seconds);
    }

    /// One line, stock reserved, the charge on its way.
    #[track_caller]
    pub(super) fn charging() -> Self {
        let mut story = Self::new();
        story.placed(1, &["started", "deadline reservation set", "reserve-1"]);
        story.accepted(Reserve(1), &["confirm-stock"]);
        story.accepted(ConfirmStock, &["initiate-payment"]);
        story.accepted(InitiatePayment, &["charge"]);
        story
    }

    /// Captured, the shipment asked for.
    #[track_caller]
    pub(super) fn captured() -> Self {
        let mut story = Self::charging();
        story.charge(Charge, captured(), &["deadline reservation cleared", "record-captured"]);
        story.accepted(RecordCaptured, &["request-shipment"]);
        story
    }

    /// Paid, waiting for the warehouse.
    #[track_caller]
    pub(super) fn paid() -> Self {
        let mut story = Self::captured();
        story.accepted(RequestShipment, &["book-carrier", "deadline booking set"]);
        story.done(BookCarrier, booked(), &["deadline booking cleared", "record-shipment-created"]);
        story.accepted(RecordShipmentCreated, &["confirm-payment"]);
        story.accepted(ConfirmPayment, &["waiting dispatch"]);
        story
    }

    /// The booking is on its way.
    #[track_caller]
    pub(super) fn booking() -> Self {
        let mut story = Self::captured();
        story.accepted(RequestShipment, &["book-carrier", "deadline booking set"]);
        story
    }

    /// Paid and called off; the carrier and the refund are on their way.
    #[track_caller]
    pub(super) fn called_off() -> Self {
        let mut story = Self::paid();
        story.signal(CANCEL, &["cancel-shipment"]);
        story.accepted(
            CancelShipment,
            &["compensating customer_request", "cancel-carrier", "refund-payment", "deadline patience set"],
        );
        story
    }

    #[track_caller]
    pub(super) fn refund(&mut self, reason: &str) {
        self.accepted(RefundPayment, &["waiting refund_settlement"]);
        self.signal(Signal::RefundSettled, &["deadline patience cleared", "release-1"]);
        self.released(reason);
    }

    /// A person's word, which may come again and then says something new.
    #[track_caller]
    pub(super) fn person(&mut self, trigger: &Trigger, expected: &[&str]) {
        let events = self.decide(trigger).unwrap();
        let mut all = vec!["noted"];
        all.extend(expected);
        assert_eq!(events.iter().map(told).collect::<Vec<_>>(), all, "after {trigger:?}");
        events.iter().for_each(|event| self.saga.evolve(event));
    }

    #[track_caller]
    pub(super) fn resolve(&mut self, step: StepName, outcome: Resolution, expected: &[&str]) {
        self.person(&Trigger::Resolve { step, outcome, reason: "I called them".into() }, expected);
    }

    #[track_caller]
    pub(super) fn released(&mut self, reason: &str) {
        self.accepted(Release(1), &["cancel"]);
        self.accepted(Cancel, &[&format!("compensated {reason}")]);
    }
}

pub(super) fn captured() -> ChargeResult {
    ChargeResult::Captured { provider_reference: "ch_1".into() }
}

pub(super) fn authorized() -> ChargeResult {
    ChargeResult::Authorized { provider_reference: "ch_1".into() }
}

pub(super) fn booked() -> Outcome {
    Outcome::Booked { carrier_reference: "c_1".into() }
}

pub(super) const CANCEL: Signal = Signal::CancellationRequested { order_version: 2 };
