//! The steps of the saga: their names, and the one table that pairs what is done with what undoes it.

use std::fmt;
use std::str::FromStr;

use domain::ordering::order::EndReason;
use serde::{Deserialize, Serialize};

use super::plan::{Advance, FulfilmentPlan};
use super::{payment, shipment, stock};

/// A stage of the saga: what brings it forward, and what takes back exactly as much of it as was done.
pub struct Stage {
    /// Its name, for people.
    pub name: &'static str,
    /// The steps that carry it out.
    pub actions: &'static [&'static str],
    /// The steps that take it back.
    pub compensations: &'static [&'static str],
    /// Whether it depends on somebody who may be away.
    pub is_outside: bool,
    pub(super) forward: fn(&FulfilmentPlan<'_>) -> Advance,
    pub(super) undo: fn(&FulfilmentPlan<'_>) -> Advance,
}

/// The stages up to the point of no return, in order. Compensation goes through them in reverse.
pub const STAGES: [Stage; 3] = [
    Stage {
        name: "stock",
        actions: &["reserve-<line>", "confirm-stock"],
        compensations: &["release-<line>", "withdraw-<line>"],
        is_outside: false,
        forward: stock::reserve,
        undo: stock::release,
    },
    Stage {
        name: "payment",
        actions: &["initiate-payment", "charge", "lookup", "record-<result>", "mark-payment-unknown"],
        compensations: &["void", "refund-payment", "resolve-refund", "fail-refund"],
        is_outside: true,
        forward: payment::pay,
        undo: payment::pay_back,
    },
    Stage {
        name: "shipment",
        actions: &["request-shipment", "book-carrier", "record-shipment-<result>", "confirm-payment"],
        compensations: &["cancel-shipment", "cancel-carrier"],
        is_outside: true,
        forward: shipment::book,
        undo: shipment::call_off,
    },
];

/// A step; in stored events and command ids by its text form, `reserve-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StepName {
    /// Set a line's stock aside.
    Reserve(u32),
    /// Put it back.
    Release(u32),
    /// See to it that a refused asking, if it was sent twice, isn't granted later.
    Withdraw(u32),
    /// Deduct it: it has left the warehouse.
    Commit(u32),
    /// Tell the order that its stock is reserved.
    ConfirmStock,
    /// Open the payment with the provider's key.
    InitiatePayment,
    /// Have the provider charge.
    Charge,
    /// Ask the provider what became of the charge.
    Lookup,
    /// Have the provider call the charge off.
    Void,
    /// Record on the payment what the provider said.
    RecordAuthorized,
    /// Likewise.
    RecordCaptured,
    /// Likewise.
    RecordDeclined,
    /// Likewise.
    RecordUnknown,
    /// Likewise.
    RecordVoided,
    /// Tell the order that the provider's answer is missing.
    MarkPaymentUnknown,
    /// Give back what is left of the payment.
    RefundPayment,
    /// Tell the payment that the refund was paid back in another way.
    ResolveRefund,
    /// Tell the payment that the refund was given up.
    FailRefund,
    /// Open the shipment with the carrier's key.
    RequestShipment,
    /// Have the carrier book it.
    BookCarrier,
    /// Record on the shipment what the carrier said.
    RecordShipmentCreated,
    /// Likewise.
    RecordShipmentFailed,
    /// Tell the order that it is paid and has a shipment.
    ConfirmPayment,
    /// Call the shipment off; refused once it has left.
    CancelShipment,
    /// Call the carrier's booking off.
    CancelCarrier,
    /// Tell the order that it has left.
    MarkShipped,
    /// Tell the order that the customer has it.
    MarkDelivered,
    /// Tell the order that all is done.
    Complete,
    /// End the order: out of stock.
    Reject,
    /// End the order: everything was undone.
    Cancel,
    /// Tell the order that cancelling came too late.
    RefuseCancellation,
}

/// The steps without a line.
const PLAIN: [(StepName, &str); 27] = [
    (StepName::ConfirmStock, "confirm-stock"),
    (StepName::InitiatePayment, "initiate-payment"),
    (StepName::Charge, "charge"),
    (StepName::Lookup, "lookup"),
    (StepName::Void, "void"),
    (StepName::RecordAuthorized, "record-authorized"),
    (StepName::RecordCaptured, "record-captured"),
    (StepName::RecordDeclined, "record-declined"),
    (StepName::RecordUnknown, "record-unknown"),
    (StepName::RecordVoided, "record-voided"),
    (StepName::MarkPaymentUnknown, "mark-payment-unknown"),
    (StepName::RefundPayment, "refund-payment"),
    (StepName::ResolveRefund, "resolve-refund"),
    (StepName::FailRefund, "fail-refund"),
    (StepName::RequestShipment, "request-shipment"),
    (StepName::BookCarrier, "book-carrier"),
    (StepName::RecordShipmentCreated, "record-shipment-created"),
    (StepName::RecordShipmentFailed, "record-shipment-failed"),
    (StepName::ConfirmPayment, "confirm-payment"),
    (StepName::CancelShipment, "cancel-shipment"),
    (StepName::CancelCarrier, "cancel-carrier"),
    (StepName::MarkShipped, "mark-shipped"),
    (StepName::MarkDelivered, "mark-delivered"),
    (StepName::Complete, "complete"),
    (StepName::Reject, "reject"),
    (StepName::Cancel, "cancel"),
    (StepName::RefuseCancellation, "refuse-cancellation"),
];

impl StepName {
    /// Whether it ends only when the provider or the carrier answers, which may take as long as they are away.
    #[must_use]
    pub fn is_outside(self) -> bool {
        matches!(
            self,
            Self::Charge
                | Self::Lookup
                | Self::Void
                | Self::RefundPayment
                | Self::BookCarrier
                | Self::CancelCarrier
        )
    }

    /// Why the order ends when a person gives the step up before compensation; `None` where it goes on without.
    pub(super) fn given_up(self) -> Option<EndReason> {
        match self {
            Self::Reserve(_) => Some(EndReason::OutOfStock),
            Self::ConfirmStock
            | Self::InitiatePayment
            | Self::Charge
            | Self::Lookup
            | Self::Void
            | Self::RecordAuthorized
            | Self::RecordCaptured
            | Self::RecordDeclined
            | Self::RecordUnknown
            | Self::RecordVoided
            | Self::MarkPaymentUnknown => Some(EndReason::PaymentTimeout),
            Self::RequestShipment
            | Self::BookCarrier
            | Self::RecordShipmentCreated
            | Self::RecordShipmentFailed
            | Self::ConfirmPayment => Some(EndReason::ShipmentFailed),
            _ => None,
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserve(line) => write!(f, "reserve-{line}"),
            Self::Release(line) => write!(f, "release-{line}"),
            Self::Withdraw(line) => write!(f, "withdraw-{line}"),
            Self::Commit(line) => write!(f, "commit-{line}"),
            plain => f.write_str(PLAIN.iter().find(|(step, _)| step == plain).map_or("", |(_, name)| name)),
        }
    }
}

/// A text that names no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a step of order fulfilment")]
pub struct UnknownStep(String);

impl FromStr for StepName {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((step, _)) = PLAIN.iter().find(|(_, name)| *name == text) {
            return Ok(*step);
        }
        let unknown = || UnknownStep(text.chars().take(60).collect());
        let (name, line) = text.rsplit_once('-').ok_or_else(unknown)?;
        let line = line.parse().map_err(|_| unknown())?;
        match name {
            "reserve" => Ok(Self::Reserve(line)),
            "release" => Ok(Self::Release(line)),
            "withdraw" => Ok(Self::Withdraw(line)),
            "commit" => Ok(Self::Commit(line)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for StepName {
    type Error = UnknownStep;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StepName> for String {
    fn from(step: StepName) -> Self {
        step.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let lines = [StepName::Reserve(1), StepName::Release(20), StepName::Withdraw(7), StepName::Commit(3)];
        for step in lines.into_iter().chain(PLAIN.map(|(step, _)| step)) {
            assert!(!step.to_string().is_empty(), "{step:?} has no name");
            assert_eq!(step.to_string().parse(), Ok(step));
        }
        for text in ["", "reserve", "reserve-", "reserve-x", "eat-1", "charge-1"] {
            assert!(text.parse::<StepName>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_table_names_steps_that_exist() {
        for stage in &STAGES {
            for step in stage.actions.iter().chain(stage.compensations) {
                let examples =
                    ["1", "captured", "created"].map(|x| step.replace("<line>", x).replace("<result>", x));
                assert!(examples.iter().any(|e| e.parse::<StepName>().is_ok()), "{step} of {}", stage.name);
            }
        }
    }
}
