//! The sagas of backends that this process may open: nobody else holds them, or many processes share them.

use anyhow::{Context as _, bail};
use domain::command::{CommandId, CommandRequest, Step};
use domain::stream::{DEFAULT_TENANT, StreamId};
use domain::text::card;
use projections::engine::query::Page;
use projections::engine::read_models::ReadModels;
use projections::engine::sagas::{SagaFilter, SagaRow};
use sagas::fulfilment::events::Resolution;
use sagas::fulfilment::{FulfilmentCommand, KIND, Trigger};
use serde_json::Value;
use uuid::Uuid;

use super::{Asked, Word};
use crate::application::Application;
use crate::backends;
use crate::config::{Config, Span};
use crate::saga_standing::ago;
use crate::serve::CommandLine;

/// Who says so: whoever may open the backends.
const ACTOR: &str = "system:operator";
const STATUSES: [&str; 5] = ["stuck", "running", "waiting", "compensating", "ended"];
/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// The configured backends.
pub(super) struct Local<'a> {
    pub(super) application: &'a Application,
    pub(super) config: &'a Config,
}

impl Local<'_> {
    fn overdue(&self) -> domain::Timestamp {
        ago(self.config.fulfilment.stuck_after.0)
    }

    pub(super) async fn list(&self, asked: &Asked<'_>, each: &mut dyn FnMut(&Value)) -> anyhow::Result<()> {
        if let Some(status) = asked.status.filter(|status| !STATUSES.contains(status)) {
            bail!("`{status}` is not a status; use one of: {}", STATUSES.join(", "));
        }
        let age = asked.older_than.map(|age| age.parse::<Span>().map_err(anyhow::Error::msg)).transpose()?;
        let filter = SagaFilter {
            status: asked.status.map(str::to_owned),
            reason: asked.reason.map(str::to_owned),
            since: age.map(|age| ago(age.0)),
            overdue: self.overdue(),
        };
        let backends = backends::open_existing(self.application, self.config).await?;
        let listed = async {
            let models = backends.read_models(Vec::new()).await?;
            let mut page = Page { after: None, limit: 100 };
            loop {
                let listed = models.sagas(DEFAULT_TENANT, &filter, &page).await?;
                for saga in &listed.items {
                    each(&serde_json::to_value(saga)?);
                }
                page.after = listed.next;
                if page.after.is_none() {
                    return Ok::<(), anyhow::Error>(());
                }
            }
        };
        let listed = listed.await;
        backends.stop().await;
        listed
    }

    pub(super) async fn show(&self, order: Uuid) -> anyhow::Result<Value> {
        let backends = backends::open_existing(self.application, self.config).await?;
        let found = async {
            let models = backends.read_models(Vec::new()).await?;
            saga(&*models, order, self.overdue()).await
        };
        let found = found.await;
        backends.stop().await;
        let found = found?.with_context(|| format!("there is no saga of the order {order}"))?;
        Ok(serde_json::to_value(found)?)
    }

    pub(super) async fn say(&self, order: Uuid, word: &Word<'_>) -> anyhow::Result<()> {
        let trigger = trigger(word)?;
        let side = CommandLine::open(self.application, self.config).await?;
        let stream = StreamId::new(DEFAULT_TENANT, KIND, order);
        let steps = vec![Step::new(stream, FulfilmentCommand::Handle(trigger))];
        let said = side.state.gateway.submit(CommandRequest::new(CommandId::fresh(), ACTOR, steps)).await;
        side.stop().await;
        said?;
        Ok(())
    }
}

async fn saga(
    models: &dyn ReadModels,
    order: Uuid,
    overdue: domain::Timestamp,
) -> anyhow::Result<Option<SagaRow>> {
    Ok(models.saga(DEFAULT_TENANT, order, overdue).await?)
}

fn trigger(word: &Word<'_>) -> anyhow::Result<Trigger> {
    let Word::Resolve { step, outcome, reason } = word else { return Ok(Trigger::Retry) };
    let outcome = match *outcome {
        "done" => Resolution::Done,
        "refused" => Resolution::Refused,
        other => bail!("`{other}` is no outcome; use done or refused"),
    };
    let fits = !reason.trim().is_empty() && reason.chars().count() <= MAX_REASON;
    anyhow::ensure!(fits, "the reason must have 1 to {MAX_REASON} characters");
    anyhow::ensure!(
        !card::contains_number(reason),
        "the reason looks like it has a card number in it, and it is kept for ever"
    );
    Ok(Trigger::Resolve { step: step.parse()?, outcome, reason: (*reason).to_owned() })
}
