//! Somebody wants the order cancelled: possible until the shipment has left, and the shipment decides which was first.

use domain::ordering::order::EndReason;

use super::action::{Action, Outcome};
use super::plan::{Advance, FulfilmentPlan, Pause, fail};
use super::steps::StepName;

/// Settles the open request before anything else goes on.
pub(super) fn settle(plan: &FulfilmentPlan<'_>) -> Advance {
    let state = plan.state;
    if state.dispatched {
        return refuse(plan);
    }
    if !state.steps.contains_key(&StepName::RequestShipment) {
        return fail(EndReason::CustomerRequest);
    }
    // A carrier that is away is not waited for: the shipment is called off, and the booking when it is there.
    if state.is_deciding() {
        return Err(Pause::Stay);
    }
    let booked = matches!(state.outcome(StepName::BookCarrier), None | Some(Outcome::Booked { .. }));
    if !booked || !state.accepted(StepName::RequestShipment) {
        return fail(EndReason::CustomerRequest);
    }
    match state.steps.get(&StepName::CancelShipment) {
        Some(last) if last.attempt == state.cancellations => match last.outcome {
            Some(Outcome::Accepted) => fail(EndReason::CustomerRequest),
            _ => refuse(plan),
        },
        _ => {
            let action = Action::CancelShipment { shipment_id: plan.shipment_id };
            plan.request_attempt(StepName::CancelShipment, state.cancellations, action)
        }
    }
}

/// Tells the order that it is too late, once per request.
pub(super) fn refuse(plan: &FulfilmentPlan<'_>) -> Advance {
    let last = plan.state.steps.get(&StepName::RefuseCancellation).map_or(0, |step| step.attempt);
    if last == plan.state.cancellations {
        return Err(Pause::Stay);
    }
    plan.request_attempt(StepName::RefuseCancellation, plan.state.cancellations, Action::RefuseCancellation)
}
