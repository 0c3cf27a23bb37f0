//! The stock stage: every line is reserved, or none stays reserved.

use domain::ordering::order::{EndReason, OrderLine};

use super::action::{Action, Outcome};
use super::plan::{Advance, FulfilmentPlan, fail};
use super::steps::StepName;

fn reservation(plan: &FulfilmentPlan<'_>, line: &OrderLine) -> (StepName, Action) {
    let action = Action::Reserve {
        product_id: line.product_id,
        line: line.line,
        quantity: line.quantity,
        expires_at: plan.started.reserved_until,
    };
    (StepName::Reserve(line.line), action)
}

/// Reserves every line, all at once.
pub(super) fn reserve(plan: &FulfilmentPlan<'_>) -> Advance {
    let lines = &plan.started.order.lines;
    let refusal = lines.iter().find_map(|line| match plan.state.outcome(StepName::Reserve(line.line)) {
        Some(Outcome::Refused { code }) => Some(code.as_str()),
        _ => None,
    });
    match refusal {
        // The saga came so late that its own deadline is over.
        Some("reservation-expired") => return fail(EndReason::PaymentTimeout),
        Some(_) => return fail(EndReason::OutOfStock),
        None => {}
    }
    plan.all(lines.iter().map(|line| reservation(plan, line)))?;
    plan.once(StepName::ConfirmStock, || Action::ConfirmStock)
}

/// Releases the lines that were reserved, and withdraws the others: a refusal isn't kept, so the same command that was sent
/// twice could be granted when there is stock again, and nobody would release it.
pub(super) fn release(plan: &FulfilmentPlan<'_>) -> Advance {
    let reason = plan.state.compensating.unwrap_or(EndReason::OutOfStock);
    let expires_at = plan.started.reserved_until;
    let asked = plan.started.order.lines.iter().filter_map(|line| {
        let (product_id, number) = (line.product_id, line.line);
        if !plan.state.steps.contains_key(&StepName::Reserve(number)) {
            return None;
        }
        Some(if plan.state.accepted(StepName::Reserve(number)) {
            (StepName::Release(number), Action::Release { product_id, line: number, reason })
        } else {
            let action = Action::Withdraw { product_id, line: number, reason, expires_at };
            (StepName::Withdraw(number), action)
        })
    });
    plan.all(asked)
}
