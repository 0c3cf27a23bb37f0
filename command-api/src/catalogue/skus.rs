//! Article numbers: unique in a tenant among products that are not discontinued. A product's number is claimed in a stream of its
//! own (`sku_claim`), as a user's address is.
//!
//! A product that an older program made has no claim until its number is claimed in the background after a start, or at its next
//! update. Until then a new product can take the number; the old one keeps it as well, and everything about it but its number
//! can be changed.

use domain::catalogue::product::{Product, ProductCommand, ProductDetails};
use domain::catalogue::sku_claim::{self, SkuClaim, SkuClaimCommand};
use domain::command::{Accepted, Step};
use domain::money::Money;
use domain::stream::{StreamId, draw_id_in_shard};
use domain::text::identifier;
use uuid::Uuid;

use crate::catalogue::products::PRODUCT;
use crate::web::issue::Issue;
use crate::web::preconditions::IfMatch;
use crate::web::problem::{FieldError, Problem};
use crate::web::state::CommandState;

/// How often a claim, or an update of whichever version there is, is begun again because somebody was faster.
const MOST_TRIES: usize = 5;

/// The number's normal form.
fn normal(details: &ProductDetails) -> Result<String, Problem> {
    identifier::normal(&details.sku)
        .map_err(|e| Problem::invalid(vec![FieldError { pointer: "/sku".into(), detail: e.to_string() }]))
}

/// Claims the number and makes the product, both or none, in the claim's shard.
pub(crate) async fn create(
    state: &CommandState,
    issue: &Issue,
    details: ProductDetails,
    price: Money,
) -> Result<Accepted, Problem> {
    let sku = normal(&details)?;
    let claim = sku_claim::stream(&issue.tenant, &sku);
    // The key alone picked the shard before numbers were claimed, so a repeat may find its answer anywhere.
    if let Some(accepted) = issue.answered_anywhere(state).await? {
        return Ok(accepted);
    }
    let shards = state.gateway.shards();
    let product_id = draw_id_in_shard(&issue.tenant, PRODUCT, claim.shard(shards), shards);
    let product = StreamId::new(&issue.tenant, PRODUCT, product_id);
    let steps = |instead_of| {
        let (sku, details) = (sku.clone(), details.clone());
        vec![
            Step::new(claim.clone(), SkuClaimCommand::Claim { product_id, sku, instead_of }),
            Step::create(product.clone(), ProductCommand::Create { details, price }),
        ]
    };
    match issue.submit(state, steps(None)).await {
        Err(taken) if is_taken(&taken) => match idle_holder(state, issue, &claim, &sku).await? {
            Some(holder) => issue.submit(state, steps(Some(holder))).await,
            None => Err(taken),
        },
        outcome => outcome,
    }
}

/// Changes a product. A number that it didn't have is claimed before, and the one that it had is given up afterwards.
pub(crate) async fn update(
    state: &CommandState,
    issue: &Issue,
    product: &StreamId,
    expected: &IfMatch,
    command: ProductCommand,
) -> Result<Accepted, Problem> {
    let mut tries = 0;
    loop {
        tries += 1;
        let outcome = update_once(state, issue, product, expected, &command).await;
        match outcome {
            // The version was our own reading, not the client's wish.
            Err(stale) if expected.version(0).is_none() && stale.status == 412 && tries < MOST_TRIES => {}
            outcome => return outcome,
        }
    }
}

async fn update_once(
    state: &CommandState,
    issue: &Issue,
    product: &StreamId,
    expected: &IfMatch,
    command: &ProductCommand,
) -> Result<Accepted, Problem> {
    let ProductCommand::Update { details, .. } = command else { return Err(Problem::internal()) };
    let sku = normal(details)?;
    let (before, meta) = state.read::<Product>(product).await?.ok_or_else(|| Problem::not_found(PRODUCT))?;
    let had = number_of(&before);
    // Always the version that was read: what is done about claims is about that one.
    let version = expected.version(meta.version).unwrap_or(meta.version);
    let step = Step { expected_version: Some(version), ..Step::new(product.clone(), command.clone()) };
    if version != meta.version {
        // Refused, or a repeat; either way no claim is needed.
        return issue.submit(state, vec![step]).await;
    }
    let claims = Claims::read(state, product, &sku, had.as_deref()).await?;
    if had.as_ref() == Some(&sku) {
        let accepted = issue.submit(state, vec![step]).await?;
        claims.make_good(state, issue).await;
        return Ok(accepted);
    }
    let claimed = match claims.claim(state, issue).await {
        Ok(claimed) => claimed,
        // It may be a repeat, whose number has gone to another product since.
        Err(problem) => return issue.repeat_or(state, product.shard(state.gateway.shards()), problem).await,
    };
    let outcome = issue.submit(state, vec![step]).await;
    match &outcome {
        Ok(accepted) if !accepted.repeated => claims.release_old(state, issue).await,
        // What came of it may not be known: then the claim stays, and is taken over by whoever needs it later.
        Err(problem) if problem.status >= 500 => {}
        _ => claimed.give_back(state, issue, &claims).await,
    }
    outcome
}

/// The number that a product bears, in its normal form.
fn number_of(product: &Product) -> Option<String> {
    let details = product.details.as_ref().filter(|_| !product.discontinued)?;
    identifier::normal(&details.sku).ok()
}

/// The claims that an update is about, as they were when the product was read, or later.
struct Claims<'a> {
    product: &'a StreamId,
    product_id: Uuid,
    sku: &'a str,
    new: StreamId,
    /// The new number's claim: its version, and who holds it.
    standing: (u64, Option<Uuid>),
    /// The old number's claim with its version, where the product holds it.
    old: Option<(StreamId, u64)>,
}

/// A claim that was made for an update.
struct Claimed {
    /// Its version, when nobody held it before; else it is not ours to give back.
    fresh: Option<u64>,
}

impl<'a> Claims<'a> {
    async fn read(
        state: &CommandState,
        product: &'a StreamId,
        sku: &'a str,
        had: Option<&str>,
    ) -> Result<Self, Problem> {
        let product_id = Uuid::try_parse(product.id()).map_err(|_| Problem::not_found(PRODUCT))?;
        let new = sku_claim::stream(product.tenant(), sku);
        let old = had.filter(|had| *had != sku).map(|had| sku_claim::stream(product.tenant(), had));
        let streams: Vec<_> = [Some(new.clone()), old.clone()].into_iter().flatten().collect();
        let views = state.gateway.read(&streams).await?;
        let standing = |at: usize| {
            views.get(at).map_or((0, None), |view| {
                let holder = view.state::<SkuClaim>().and_then(|claim| claim.holder);
                (view.meta.version, holder.map(|holder| holder.product_id))
            })
        };
        let held = |old: StreamId| {
            let (version, holder) = standing(1);
            (holder == Some(product_id)).then_some((old, version))
        };
        Ok(Self { product, product_id, sku, new, standing: standing(0), old: old.and_then(held) })
    }

    /// Claims the new number.
    async fn claim(&self, state: &CommandState, issue: &Issue) -> Result<Claimed, Problem> {
        let claim = |instead_of| SkuClaimCommand::Claim {
            product_id: self.product_id,
            sku: self.sku.to_owned(),
            instead_of,
        };
        let (mut version, mut holder) = self.standing;
        for _ in 0..MOST_TRIES {
            let instead_of = match holder {
                Some(holder) if holder != self.product_id => {
                    idle_holder(state, issue, &self.new, self.sku).await?
                }
                _ => None,
            };
            let step =
                Step { expected_version: Some(version), ..Step::new(self.new.clone(), claim(instead_of)) };
            match issue.aside(state, step).await {
                Ok(_) => {
                    let fresh = (holder != Some(self.product_id)).then_some(version + 1);
                    return Ok(Claimed { fresh });
                }
                Err(stale) if stale.status == 412 => {}
                Err(problem) => return Err(problem),
            }
            let found = state.read::<SkuClaim>(&self.new).await?;
            version = found.as_ref().map_or(0, |(_, meta)| meta.version);
            holder = found.and_then(|(claim, _)| claim.holder).map(|holder| holder.product_id);
        }
        Err(Problem::from(domain::refusal::Refusal::from(sku_claim::SkuClaimError::Taken)))
    }

    /// Gives up the old number, unless the product has claimed it again meanwhile.
    async fn release_old(&self, state: &CommandState, issue: &Issue) {
        if let Some((old, version)) = &self.old {
            release(state, issue, old, *version, self.product_id).await;
        }
    }

    /// Claims the number that the product bears already, if nobody has claimed it.
    async fn make_good(&self, state: &CommandState, issue: &Issue) {
        if self.standing.1.is_none()
            && let Err(problem) = self.claim(state, issue).await
        {
            tracing::warn!(product = %self.product, detail = problem.detail, "the sku of a product is not claimed");
        }
    }
}

impl Claimed {
    /// Gives the new number back after an update that didn't happen, unless the product bears it.
    async fn give_back(&self, state: &CommandState, issue: &Issue, claims: &Claims<'_>) {
        let Some(version) = self.fresh else { return };
        match state.read::<Product>(claims.product).await {
            Ok(Some((product, _))) if number_of(&product).as_deref() == Some(claims.sku) => {}
            Ok(_) => release(state, issue, &claims.new, version, claims.product_id).await,
            Err(problem) => {
                tracing::warn!(detail = problem.detail, "a sku stays claimed in vain for a while")
            }
        }
    }
}

/// Releases a claim that is still as it was seen. What fails is only logged: such a claim can be taken over later.
async fn release(state: &CommandState, issue: &Issue, claim: &StreamId, version: u64, product_id: Uuid) {
    let step = Step {
        expected_version: Some(version),
        ..Step::new(claim.clone(), SkuClaimCommand::Release { product_id })
    };
    match issue.aside(state, step).await {
        Ok(_) => {}
        Err(stale) if stale.status == 412 => {}
        Err(problem) => tracing::warn!(detail = problem.detail, "a sku stays claimed in vain for a while"),
    }
}

fn is_taken(problem: &Problem) -> bool {
    problem.kind.ends_with("/sku-taken")
}

/// The holder of a claim whose product doesn't bear the number: it was cut short, or is discontinued.
async fn idle_holder(
    state: &CommandState,
    issue: &Issue,
    claim: &StreamId,
    sku: &str,
) -> Result<Option<Uuid>, Problem> {
    let holder = state.read::<SkuClaim>(claim).await?.and_then(|(claim, _)| claim.holder);
    let Some(holder) = holder.map(|holder| holder.product_id) else { return Ok(None) };
    let product = state.read::<Product>(&StreamId::new(claim.tenant(), PRODUCT, holder)).await?;
    let product = product.map(|(product, _)| product).unwrap_or_default();
    if number_of(&product).as_deref() == Some(sku) {
        return Ok(None);
    }
    if product.discontinued {
        // For ever, so there is nothing to wait for.
        let release = SkuClaimCommand::Release { product_id: holder };
        issue.aside(state, Step::new(claim.clone(), release)).await?;
    }
    Ok(Some(holder))
}
