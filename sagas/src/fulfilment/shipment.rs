//! The shipment stage: booked with the carrier, or called off. The order counts as paid once its shipment exists.

use domain::ordering::order::EndReason;

use super::action::{Action, Outcome};
use super::events::Need;
use super::plan::{Advance, FulfilmentPlan, Pause, fail};
use super::state::{BOOKING, Standing};
use super::steps::StepName;
use crate::fulfilment::ids;

/// Books the shipment and tells the order.
pub(super) fn book(plan: &FulfilmentPlan<'_>) -> Advance {
    let order = &plan.started.order;
    let shipment_id = plan.shipment_id;
    let request = || Action::RequestShipment {
        shipment_id,
        customer_id: order.customer_id,
        address: order.shipping_address.clone(),
        carrier_key: ids::carrier_key(shipment_id),
    };
    plan.once_or_fail(StepName::RequestShipment, request, EndReason::ShipmentFailed)?;
    if plan.state.standing(StepName::BookCarrier) == Standing::Open {
        plan.deadline(BOOKING.to_owned(), plan.after(plan.started.terms.booking_ms))?;
        return fail(EndReason::ShipmentFailed);
    }
    plan.once(StepName::BookCarrier, || Action::BookCarrier {
        shipment_id,
        country: order.shipping_address.country.clone(),
        carrier_key: ids::carrier_key(shipment_id),
    })?;
    match plan.state.outcome(StepName::BookCarrier) {
        Some(Outcome::Booked { carrier_reference }) => {
            plan.once(StepName::RecordShipmentCreated, || Action::RecordShipmentCreated {
                shipment_id,
                carrier_reference: carrier_reference.clone(),
            })?;
        }
        Some(Outcome::BookingRefused { reason }) => {
            record_failed(plan, reason)?;
            return fail(EndReason::ShipmentFailed);
        }
        _ => return fail(EndReason::ShipmentFailed),
    }
    let payment_id = plan.payment_id;
    plan.once(StepName::ConfirmPayment, || Action::ConfirmPayment { payment_id, shipment_id })
}

fn record_failed(plan: &FulfilmentPlan<'_>, reason: &str) -> Advance {
    plan.once(StepName::RecordShipmentFailed, || Action::RecordShipmentFailed {
        shipment_id: plan.shipment_id,
        reason: reason.to_owned(),
    })
}

/// Calls off what was requested and booked.
pub(super) fn call_off(plan: &FulfilmentPlan<'_>) -> Advance {
    if !plan.state.accepted(StepName::RequestShipment) {
        return Ok(());
    }
    let shipment_id = plan.shipment_id;
    if let Some(Outcome::BookingRefused { reason }) = plan.state.outcome(StepName::BookCarrier) {
        // One that was cancelled before the carrier refused stays cancelled.
        return if plan.state.accepted(StepName::CancelShipment) {
            Ok(())
        } else {
            record_failed(plan, reason)
        };
    }
    plan.once(StepName::CancelShipment, || Action::CancelShipment { shipment_id })?;
    match plan.state.outcome(StepName::BookCarrier) {
        Some(Outcome::Booked { .. }) => {
            let action = |_| Action::CancelCarrier { carrier_key: ids::carrier_key(shipment_id) };
            plan.once_or_need(StepName::CancelCarrier, action, Need::CarrierRefused)
        }
        // A carrier that is away may book yet, and then it has to be called off.
        None if plan.state.is_open(StepName::BookCarrier) => Err(Pause::Stay),
        _ => Ok(()),
    }
}
