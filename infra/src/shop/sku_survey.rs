//! Claims the article numbers of products that an older program made, which knew no claims: looked for once at every start, in the
//! background. Of two such products with one number the older one gets it; the other keeps its number and is told of in the log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use domain::catalogue::product::ProductView;
use domain::catalogue::sku_claim::{self, SkuClaim, SkuClaimCommand};
use domain::command::{CommandError, CommandId, CommandRequest, Step};
use domain::ports::gateway::CommandGateway;
use domain::position::{Position, SyncToken};
use domain::stream::DEFAULT_TENANT;
use domain::text::identifier;
use projections::catalogue::products::{self, ProductFilter, ProductSort, ReadProducts as _};
use projections::engine::query::Page;
use projections::engine::read_models::ReadModels;
use projections::engine::watermark::Watermark;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::application::Chore;
use crate::backends::Backends;
use crate::feed::find_heads;

/// How many products are looked at together.
const AT_ONCE: usize = 100;
/// How long the read model may take to see what was decided before the start, each time it is asked.
const WAIT: Duration = Duration::from_secs(60);
/// The pause after something couldn't be reached.
const PAUSE: Duration = Duration::from_secs(10);

/// The search for such products.
pub(super) struct SkuSurvey;

#[async_trait]
impl Chore for SkuSurvey {
    fn name(&self) -> &'static str {
        "sku-survey"
    }

    async fn begin(
        &self,
        gateway: Arc<dyn CommandGateway>,
        backends: &dyn Backends,
        marks: &[Watermark],
        stop: CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>> {
        // What was decided before the start: every product since then has its claim.
        let heads = find_heads(&*backends.log()).await?;
        let read = backends.read_models(marks.to_vec()).await?;
        Ok(tokio::spawn(run(gateway, read, heads, stop)))
    }
}

/// Looks at every product until all have been seen, or the process stops.
async fn run(
    gateway: Arc<dyn CommandGateway>,
    read: Arc<dyn ReadModels>,
    heads: Vec<Position>,
    stop: CancellationToken,
) {
    let surveying = async {
        loop {
            match survey(&*gateway, &*read, &heads).await {
                Ok(0) => return,
                Ok(claimed) => {
                    tracing::info!(claimed, "skus of products from before are claimed");
                    return;
                }
                Err(error) => tracing::debug!(reason = %format!("{error:#}"), "the skus are looked at later"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let _ = stop.run_until_cancelled(surveying).await;
}

/// Answers how many numbers were claimed.
async fn survey(
    gateway: &dyn CommandGateway,
    read: &dyn ReadModels,
    heads: &[Position],
) -> anyhow::Result<usize> {
    let mut token = SyncToken::default();
    heads.iter().filter(|head| head.n > 0).for_each(|head| token.add(*head));
    read.wait_for(products::NAME, &token, WAIT).await?;
    let (mut page, mut claimed) = (Page { after: None, limit: AT_ONCE }, 0);
    loop {
        let filter = ProductFilter::default();
        let listed = read.products(DEFAULT_TENANT, &filter, ProductSort::Created, &page).await?;
        claimed += claim(gateway, &listed.items).await.context("the owners can't be asked")?;
        page.after = listed.next;
        if page.after.is_none() {
            return Ok(claimed);
        }
    }
}

async fn claim(gateway: &dyn CommandGateway, products: &[ProductView]) -> Result<usize, CommandError> {
    // A number without a normal form was never one that another product could have.
    let numbers: Vec<_> = products
        .iter()
        .filter_map(|product| Some((product.id, identifier::normal(&product.sku).ok()?)))
        .collect();
    let streams: Vec<_> = numbers.iter().map(|(_, sku)| sku_claim::stream(DEFAULT_TENANT, sku)).collect();
    let views = gateway.read(&streams).await?;
    let mut claimed = 0;
    for (((product_id, sku), stream), view) in numbers.into_iter().zip(streams).zip(views) {
        if view.state::<SkuClaim>().is_some_and(|claim| claim.holder.is_some()) {
            continue;
        }
        let command = SkuClaimCommand::Claim { product_id, sku, instead_of: None };
        let steps = vec![Step::new(stream, command)];
        match gateway.submit(CommandRequest::new(CommandId::fresh(), "system:sku-survey", steps)).await {
            Ok(_) => claimed += 1,
            Err(CommandError::Refused(refusal)) => {
                tracing::warn!(product = %product_id, reason = %refusal, "a product's sku is another one's too");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}
