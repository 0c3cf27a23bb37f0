//! The payment stage: one charge whose outcome is known, or none.
//!
//! A call that times out may have charged, may charge later, or never. The saga asks under the same key, and when the
//! provider still knows of no charge, has it voided: that answer is definite, since a charge that arrives later is refused.
//! A provider that refuses the charge itself has said as much as one that declines it.

use domain::ordering::order::EndReason;
use domain::payments::payment::DeclineReason;

use super::action::{Action, ChargeResult, Outcome};
use super::events::Need;
use super::plan::{Advance, FulfilmentPlan, Pause, fail};
use super::state::{Attempt, Fulfilment, Standing};
use super::steps::StepName;
use crate::fulfilment::ids;

impl FulfilmentPlan<'_> {
    fn provider_key(&self) -> String {
        ids::provider_key(self.payment_id)
    }

    fn record_captured(&self, reference: &str) -> Advance {
        self.once(StepName::RecordCaptured, || Action::RecordCaptured {
            payment_id: self.payment_id,
            provider_reference: reference.to_owned(),
        })
    }

    fn record_voided(&self) -> Advance {
        self.once(StepName::RecordVoided, || Action::RecordVoided { payment_id: self.payment_id })
    }

    fn record_declined(&self, reason: DeclineReason) -> Advance {
        let payment_id = self.payment_id;
        self.once(StepName::RecordDeclined, || Action::RecordDeclined { payment_id, reason })
    }

    /// Goes on when a person gave it up: then the payment stays of unknown outcome.
    fn void(&self) -> Advance {
        let action = |_| Action::Void { provider_key: self.provider_key() };
        self.once_or_need(StepName::Void, action, Need::VoidRefused)
    }
}

/// Charges and goes on until the money is captured.
pub(super) fn pay(plan: &FulfilmentPlan<'_>) -> Advance {
    let order = &plan.started.order;
    let payment_id = plan.payment_id;
    let initiate = || Action::InitiatePayment {
        payment_id,
        customer_id: order.customer_id,
        amount: order.total,
        method: order.payment_method.clone(),
        provider_key: plan.provider_key(),
    };
    plan.once_or_fail(StepName::InitiatePayment, initiate, EndReason::PaymentDeclined)?;
    plan.once(StepName::Charge, || Action::Charge {
        payment_id,
        amount: order.total,
        method: order.payment_method.clone(),
        provider_key: plan.provider_key(),
    })?;
    match &plan.state.charge {
        Some(ChargeResult::Captured { provider_reference }) => plan.record_captured(provider_reference),
        Some(ChargeResult::Declined { reason }) => {
            plan.record_declined(*reason)?;
            fail(EndReason::PaymentDeclined)
        }
        Some(ChargeResult::Refused { .. }) => {
            plan.record_declined(DeclineReason::Refused)?;
            fail(EndReason::PaymentDeclined)
        }
        Some(ChargeResult::Voided) => {
            plan.record_voided()?;
            fail(EndReason::PaymentTimeout)
        }
        Some(ChargeResult::Authorized { provider_reference }) => {
            plan.once(StepName::RecordAuthorized, || Action::RecordAuthorized {
                payment_id,
                provider_reference: provider_reference.clone(),
            })?;
            look_up(plan)
        }
        Some(ChargeResult::Unknown | ChargeResult::NotFound) | None => {
            plan.once(StepName::RecordUnknown, || Action::RecordUnknown { payment_id })?;
            plan.once(StepName::MarkPaymentUnknown, || Action::MarkPaymentUnknown { payment_id })?;
            if plan.state.steps.get(&StepName::Lookup).map_or(0, |s| s.attempt) >= plan.started.terms.lookups
            {
                // A look-up may be on its way, whose answer would spare the void.
                idle(plan)?;
                plan.void()?;
                return fail(EndReason::PaymentTimeout);
            }
            look_up(plan)
        }
    }
}

fn idle(plan: &FulfilmentPlan<'_>) -> Advance {
    if plan.state.is_busy() { Err(Pause::Stay) } else { Ok(()) }
}

/// Asks again after a pause that doubles. The charge that is set aside is asked for until the reservation's deadline.
fn look_up(plan: &FulfilmentPlan<'_>) -> Advance {
    idle(plan)?;
    let terms = &plan.started.terms;
    let attempt = plan.state.steps.get(&StepName::Lookup).map_or(0, |step| step.attempt) + 1;
    let factor = 1_u64.checked_shl(attempt - 1).unwrap_or(u64::MAX);
    let pause = terms.lookup_backoff_ms.saturating_mul(factor).min(terms.lookup_backoff_max_ms);
    plan.deadline(format!("lookup-{attempt}"), plan.after(pause))?;
    plan.request_attempt(StepName::Lookup, attempt, Action::Lookup { provider_key: plan.provider_key() })
}

/// Sees to it that nothing was taken, or that all that was taken has gone back.
pub(super) fn pay_back(plan: &FulfilmentPlan<'_>) -> Advance {
    if !plan.state.accepted(StepName::InitiatePayment) {
        return Ok(());
    }
    if plan.state.is_open(StepName::Charge) {
        return Err(Pause::Stay);
    }
    match &plan.state.charge {
        // The provider was never asked to charge, and never will be; or it confirmed that it won't.
        None | Some(ChargeResult::Voided) => plan.record_voided(),
        Some(ChargeResult::Declined { reason }) => plan.record_declined(*reason),
        Some(ChargeResult::Refused { .. }) => plan.record_declined(DeclineReason::Refused),
        Some(ChargeResult::Unknown | ChargeResult::NotFound | ChargeResult::Authorized { .. }) => plan.void(),
        Some(ChargeResult::Captured { provider_reference }) => {
            plan.record_captured(provider_reference)?;
            refund(plan)
        }
    }
}

/// Gives back what is left, and waits until the provider has paid it back. One that refuses needs somebody, who has it tried again
/// or says how it ended.
fn refund(plan: &FulfilmentPlan<'_>) -> Advance {
    let (step, payment_id, order_id) = (StepName::RefundPayment, plan.payment_id, plan.started.order_id);
    let attempt = plan.state.steps.get(&step).map_or(0, |last| last.attempt);
    let refund_id = ids::refund_id(order_id, attempt);
    match plan.state.standing(step) {
        Standing::GivenUp => {
            return plan.whatever(StepName::FailRefund, || Action::FailRefund { payment_id, refund_id });
        }
        Standing::Done if plan.state.is_resolved(step) => return resolve(plan, attempt),
        _ => {}
    }
    let reason = plan.state.compensating.unwrap_or(EndReason::CustomerRequest);
    let refund = |attempt| {
        let refund_id = ids::refund_id(order_id, attempt);
        Action::RefundPayment { payment_id, refund_id, reason }
    };
    plan.once_or_need(step, refund, Need::StepRefused)?;
    if plan.state.outcome(step) == Some(&Outcome::NothingToRefund) {
        return Ok(());
    }
    match plan.state.refunds.get(&attempt) {
        Some(true) => Ok(()),
        Some(false) => plan.need(step, attempt, Need::RefundRefused, "the provider refuses to pay back"),
        None => Err(Pause::Stay),
    }
}

/// Tells the payment that a refund was paid back in another way. One that can't count it, as after somebody else's refund of a part, leaves
/// money with us that nobody has accounted for: somebody has to look again.
fn resolve(plan: &FulfilmentPlan<'_>, attempt: u32) -> Advance {
    let (step, payment_id) = (StepName::ResolveRefund, plan.payment_id);
    match plan.state.steps.get(&step).filter(|last| last.attempt == attempt) {
        Some(Attempt { outcome: None, .. }) => Err(Pause::Stay),
        Some(Attempt { outcome: Some(Outcome::Refused { code }), .. }) => {
            plan.need(StepName::RefundPayment, attempt, Need::RefundRefused, code)
        }
        Some(_) => Ok(()),
        None => {
            let refund_id = ids::refund_id(plan.started.order_id, attempt);
            plan.request_attempt(step, attempt, Action::ResolveRefund { payment_id, refund_id })
        }
    }
}

/// Whether the provider has yet to say what becomes of the refund.
pub(super) fn awaits_settlement(state: &Fulfilment) -> bool {
    let step = StepName::RefundPayment;
    let attempt = state.steps.get(&step).map_or(0, |last| last.attempt);
    state.standing(step) == Standing::Done
        && !state.is_resolved(step)
        && state.accepted(step)
        && !state.refunds.contains_key(&attempt)
}
