//! The payment stage: one charge whose outcome is known, or none.
//!
//! A call that times out may have charged, may charge later, or never. The saga asks under the same key, and when the
//! provider still knows of no charge, has it voided: that answer is definite, since a charge that arrives later is refused.

use chrono::Duration;
use domain::shop::order::EndReason;

use super::action::{Action, ChargeResult, Outcome};
use super::events::WaitingFor;
use super::plan::{Advance, Pause, Plan, fail};
use super::steps::StepName;
use crate::ids;

impl Plan<'_> {
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

    fn void(&self) -> Advance {
        self.once(StepName::Void, || Action::Void { provider_key: self.provider_key() })
    }
}

/// Charges and goes on until the money is captured.
pub(super) fn pay(plan: &Plan<'_>) -> Advance {
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
            plan.once(StepName::RecordDeclined, || Action::RecordDeclined { payment_id, reason: *reason })?;
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
                return plan.void();
            }
            look_up(plan)
        }
    }
}

fn idle(plan: &Plan<'_>) -> Advance {
    if plan.state.is_busy() { Err(Pause::Stay) } else { Ok(()) }
}

/// Asks again after a pause that doubles. The charge that is set aside is asked for until the reservation's deadline.
fn look_up(plan: &Plan<'_>) -> Advance {
    idle(plan)?;
    let terms = &plan.started.terms;
    let attempt = plan.state.steps.get(&StepName::Lookup).map_or(0, |step| step.attempt) + 1;
    let factor = 1_u64.checked_shl(attempt - 1).unwrap_or(u64::MAX);
    let pause = terms.lookup_backoff_ms.saturating_mul(factor).min(terms.lookup_backoff_max_ms);
    let pause = Duration::milliseconds(i64::try_from(pause).unwrap_or(i64::MAX));
    let due_at = plan.now.checked_add_signed(pause).unwrap_or(plan.started.reserved_until);
    plan.deadline(format!("lookup-{attempt}"), due_at)?;
    plan.request_attempt(StepName::Lookup, attempt, Action::Lookup { provider_key: plan.provider_key() })
}

/// Sees to it that nothing was taken, or that all that was taken has gone back.
pub(super) fn pay_back(plan: &Plan<'_>) -> Advance {
    if !plan.state.accepted(StepName::InitiatePayment) {
        return Ok(());
    }
    let payment_id = plan.payment_id;
    match &plan.state.charge {
        // The provider was never asked to charge, and never will be; or it confirmed that it won't.
        None | Some(ChargeResult::Voided) => plan.record_voided(),
        Some(ChargeResult::Declined { reason }) => {
            plan.once(StepName::RecordDeclined, || Action::RecordDeclined { payment_id, reason: *reason })
        }
        Some(ChargeResult::Unknown | ChargeResult::NotFound | ChargeResult::Authorized { .. }) => plan.void(),
        Some(ChargeResult::Captured { provider_reference }) => {
            plan.record_captured(provider_reference)?;
            let reason = plan.state.compensating.unwrap_or(EndReason::CustomerRequest);
            let refund_id = ids::refund_id(plan.started.order_id);
            plan.once(StepName::RefundPayment, || Action::RefundPayment { payment_id, refund_id, reason })?;
            let nothing = plan.state.outcome(StepName::RefundPayment) == Some(&Outcome::NothingToRefund);
            plan.wait_for(nothing || plan.state.refund_settled, WaitingFor::RefundSettlement)
        }
    }
}
