//! What a person does about a saga that can't go on by itself.

use domain::aggregate::DecisionContext;
use domain::follow_on::Neighbours;

use super::events::FulfilmentEvent;
use super::state::{Fulfilment, Standing};
use super::steps::StepName;
use super::{FulfilmentError, Trigger, payment};
use crate::engine::react;
use crate::fulfilment::ids::MAX_REFUNDS;

/// The events of a person's word. A saga that an older program left standing says first what it needs.
pub(super) fn decide(
    saga: &Fulfilment,
    trigger: &Trigger,
    context: &DecisionContext,
    neighbours: &mut dyn Neighbours,
) -> Result<Vec<FulfilmentEvent>, FulfilmentError> {
    if saga.started.is_none() {
        return Err(FulfilmentError::NotFound);
    }
    let mut saga = saga.clone();
    let mut events = react::go_on(&mut saga, context.now);
    match trigger {
        Trigger::Retry if to_retry(&saga).is_empty() => return Err(FulfilmentError::NothingToRetry),
        Trigger::Retry if refunds(&saga) >= MAX_REFUNDS => return Err(FulfilmentError::TooManyRetries),
        Trigger::Resolve { step, .. } if to_resolve(&saga, *step).is_none() => {
            return Err(FulfilmentError::NotResolvable(*step));
        }
        _ => {}
    }
    events.extend(react::react(&saga, trigger, context, neighbours));
    Ok(events)
}

/// What a person can have tried again: what needs somebody; else what waits for a provider or carrier, which goes on being tried.
pub(super) fn to_retry(saga: &Fulfilment) -> Vec<StepName> {
    if !saga.needs.is_empty() {
        return saga.needs.keys().copied().collect();
    }
    let open = saga.steps.iter().filter(|(step, attempt)| step.is_outside() && attempt.is_open());
    let unpaid = is_refund_unpaid(saga).then_some(StepName::RefundPayment);
    open.map(|(step, _)| *step).chain(unpaid).collect()
}

/// The attempt of a step that a person can end: one that needs somebody, or waits for a provider or carrier. What became of a charge is
/// the provider's to say; what is not known of it is voided.
pub(super) fn to_resolve(saga: &Fulfilment, step: StepName) -> Option<u32> {
    let last = saga.steps.get(&step)?;
    let waits = match step {
        StepName::Charge | StepName::Lookup => false,
        StepName::RefundPayment if is_refund_unpaid(saga) => true,
        _ => step.is_outside() && saga.standing(step) == Standing::Open,
    };
    (waits || saga.needs.contains_key(&step)).then_some(last.attempt)
}

/// The refund was accepted, and the provider hasn't said yet what becomes of it.
fn is_refund_unpaid(saga: &Fulfilment) -> bool {
    saga.ended.is_none() && payment::awaits_settlement(saga)
}

fn refunds(saga: &Fulfilment) -> u32 {
    saga.steps.get(&StepName::RefundPayment).map_or(0, |last| last.attempt)
}
