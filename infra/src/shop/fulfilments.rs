//! Order fulfilment, as the handlers of commands see it.

use command_api::fulfilment::{Fulfilments, Resolution};
use domain::command::Step;
use domain::stream::StreamId;
use sagas::fulfilment::events::Resolution as Outcome;
use sagas::fulfilment::steps::StepName;
use sagas::fulfilment::{FulfilmentCommand, KIND, Trigger};
use uuid::Uuid;

/// The sagas' own words for it.
pub(crate) struct OrderFulfilment;

impl OrderFulfilment {
    fn tell(&self, tenant: &str, order_id: Uuid, trigger: Trigger) -> Step {
        Step::new(self.stream(tenant, order_id), FulfilmentCommand::Handle(trigger))
    }
}

impl Fulfilments for OrderFulfilment {
    fn stream(&self, tenant: &str, order_id: Uuid) -> StreamId {
        StreamId::new(tenant, KIND, order_id)
    }

    fn retry(&self, tenant: &str, order_id: Uuid) -> Step {
        self.tell(tenant, order_id, Trigger::Retry)
    }

    fn resolve(
        &self,
        tenant: &str,
        order_id: Uuid,
        step: &str,
        outcome: Resolution,
        reason: String,
    ) -> Option<Step> {
        let step: StepName = step.parse().ok()?;
        let outcome = match outcome {
            Resolution::Done => Outcome::Done,
            Resolution::Refused => Outcome::Refused,
        };
        Some(self.tell(tenant, order_id, Trigger::Resolve { step, outcome, reason }))
    }
}
