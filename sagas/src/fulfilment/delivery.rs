//! After the point of no return: the stock leaves with the shipment, and the order ends with its delivery.

use super::action::Action;
use super::events::WaitingFor;
use super::plan::{Advance, FulfilmentPlan};
use super::steps::StepName;

/// Waits for the warehouse and for the customer.
pub(super) fn deliver(plan: &FulfilmentPlan<'_>) -> Advance {
    plan.wait_for(plan.state.dispatched, WaitingFor::Dispatch)?;
    plan.all(plan.started.order.lines.iter().map(|line| {
        (StepName::Commit(line.line), Action::Commit { product_id: line.product_id, line: line.line })
    }))?;
    let shipment_id = plan.shipment_id;
    plan.once(StepName::MarkShipped, || Action::MarkShipped { shipment_id })?;
    plan.wait_for(plan.state.delivered, WaitingFor::Delivery)?;
    plan.once(StepName::MarkDelivered, || Action::MarkDelivered)?;
    plan.once(StepName::Complete, || Action::Complete)
}
