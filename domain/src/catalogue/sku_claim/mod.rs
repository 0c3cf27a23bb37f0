//! SKU claims: which product bears an article number. Stream type `sku_claim`, id = a digest of the number's normal form
//! ([`identifier::normal`](crate::text::identifier::normal)), so that two products that want one number meet in one stream.
//!
//! A product is made in its claim's shard, in the same frame. One that changes its number later lives in another shard than the
//! new claim, so it claims first, changes, and then gives up the old one. Whoever is cut short in between leaves a claim that no
//! product bears out: after [`GRACE`] it can be taken over.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::aggregate::{Aggregate, DecisionContext};
use crate::command::digest_of;
use crate::refusal::{DomainError, RefusalKind};
use crate::stream::StreamId;

/// How long a claim is its holder's even if the product doesn't bear the number: longer than any request takes.
pub const GRACE: TimeDelta = TimeDelta::minutes(5);

/// The stream that holds an article number, given in its normal form.
#[must_use]
pub fn stream(tenant: &str, sku: &str) -> StreamId {
    let id = hex::encode(digest_of(&["sku", sku]));
    StreamId::new(tenant, "sku_claim", id)
}

/// A command for a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkuClaimCommand {
    /// Takes the number for a product; for its holder, takes it anew.
    Claim {
        /// The product.
        product_id: Uuid,
        /// The number, in its normal form.
        sku: String,
        /// A holder that was found not to bear the number, and is displaced unless it claimed a short time ago.
        instead_of: Option<Uuid>,
    },
    /// Gives it up.
    Release {
        /// The product.
        product_id: Uuid,
    },
}

/// `sku_claim.claimed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuClaimed {
    /// The product.
    pub product_id: Uuid,
    /// The number, in its normal form.
    pub sku: String,
    /// When.
    pub claimed_at: Timestamp,
}

/// `sku_claim.released` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuReleased {
    /// The product.
    pub product_id: Uuid,
}

crate::events! {
    /// What can happen to a claim.
    pub enum SkuClaimEvent {
        /// A product took the number.
        "sku_claim.claimed" 1 => Claimed(SkuClaimed),
        /// The product gave it up.
        "sku_claim.released" 1 => Released(SkuReleased),
    }
}

/// Who holds a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The product.
    pub product_id: Uuid,
    /// Since when.
    pub claimed_at: Timestamp,
}

/// A claim's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuClaim {
    /// Who holds the number.
    pub holder: Option<Holder>,
}

/// Why a command for a claim is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SkuClaimError {
    /// Another product has the number.
    #[error("another product has this sku")]
    Taken,
}

impl DomainError for SkuClaimError {
    fn kind(&self) -> RefusalKind {
        RefusalKind::Conflict
    }

    fn code(&self) -> &'static str {
        "sku-taken"
    }
}

crate::cqrs_aggregate!(SkuClaim, "sku_claim", SkuClaimCommand, SkuClaimEvent, SkuClaimError);

impl Aggregate for SkuClaim {
    fn decide(
        &self,
        command: &SkuClaimCommand,
        context: &DecisionContext,
    ) -> Result<Vec<SkuClaimEvent>, SkuClaimError> {
        match command {
            SkuClaimCommand::Claim { product_id, sku, instead_of } => {
                let free = self.holder.is_none_or(|holder| {
                    let displaced =
                        *instead_of == Some(holder.product_id) && context.now - holder.claimed_at >= GRACE;
                    holder.product_id == *product_id || displaced
                });
                let claimed =
                    SkuClaimed { product_id: *product_id, sku: sku.clone(), claimed_at: context.now };
                if free { Ok(vec![SkuClaimEvent::Claimed(claimed)]) } else { Err(SkuClaimError::Taken) }
            }
            SkuClaimCommand::Release { product_id } => {
                let holds = self.holder.is_some_and(|holder| holder.product_id == *product_id);
                let released = SkuClaimEvent::Released(SkuReleased { product_id: *product_id });
                Ok(holds.then_some(released).into_iter().collect())
            }
        }
    }

    fn evolve(&mut self, event: &SkuClaimEvent) {
        self.holder = match event {
            SkuClaimEvent::Claimed(SkuClaimed { product_id, claimed_at, .. }) => {
                Some(Holder { product_id: *product_id, claimed_at: *claimed_at })
            }
            SkuClaimEvent::Released(_) => None,
        };
    }
}

#[cfg(test)]
mod tests;
