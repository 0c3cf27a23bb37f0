//! The rating of a product: how many reviews of it are shown, and the sum of their ratings. Stream type `product_rating`, id = the
//! product's id.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::review::{BEST, ReviewCommand, ReviewEvent, Standing};
use crate::aggregate::{Aggregate, AnyCommand, Decided, DecisionContext};
use crate::command::Step;
use crate::follow_on::Process;
use crate::refusal::{DomainError, RefusalKind};
use crate::stream::StreamId;

/// The stream type.
pub const KIND: &str = "product_rating";

/// The stream of a product's rating.
#[must_use]
pub fn stream(tenant: &str, product_id: Uuid) -> StreamId {
    StreamId::new(tenant, KIND, product_id)
}

/// A command for a product's rating.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RatingCommand {
    /// A review counts as something else than before.
    Count {
        /// The product.
        product_id: Uuid,
        /// What it counted as; 0 for nothing.
        before: u8,
        /// What it counts as now; 0 for nothing.
        after: u8,
    },
}

/// `product_rating.changed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatingChanged {
    /// The product.
    pub product_id: Uuid,
    /// Reviews that count.
    pub count: u64,
    /// The sum of their ratings.
    pub sum: u64,
}

crate::events! {
    /// What can happen to a product's rating.
    pub enum RatingEvent {
        /// Another number of reviews counts, or another sum.
        "product_rating.changed" 1 => Changed(RatingChanged),
    }
}

/// A rating's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductRating {
    /// Reviews that count.
    pub count: u64,
    /// The sum of their ratings.
    pub sum: u64,
}

/// Why a command for a rating is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// More would be taken away than was counted.
    #[error("a review that was never counted can't be taken out of the rating")]
    NeverCounted,
}

impl DomainError for RatingError {
    fn kind(&self) -> RefusalKind {
        RefusalKind::Conflict
    }

    fn code(&self) -> &'static str {
        "rating-never-counted"
    }
}

crate::cqrs_aggregate!(ProductRating, "product_rating", RatingCommand, RatingEvent, RatingError);

impl Aggregate for ProductRating {
    fn decide(
        &self,
        command: &RatingCommand,
        _context: &DecisionContext,
    ) -> Result<Vec<RatingEvent>, RatingError> {
        let RatingCommand::Count { product_id, before, after } = *command;
        if before == after {
            return Ok(Vec::new());
        }
        let rest = |whole: u64, part: u64| whole.checked_sub(part).ok_or(RatingError::NeverCounted);
        let count = rest(self.count, u64::from(before > 0))? + u64::from(after > 0);
        let sum = rest(self.sum, u64::from(before))? + u64::from(after);
        if sum < count || sum > count * u64::from(BEST) {
            return Err(RatingError::NeverCounted);
        }
        Ok(vec![RatingEvent::Changed(RatingChanged { product_id, count, sum })])
    }

    fn evolve(&mut self, event: &RatingEvent) {
        let RatingEvent::Changed(RatingChanged { count, sum, .. }) = event;
        *self = Self { count: *count, sum: *sum };
    }
}

/// Counts reviews in their products' ratings, in the same frame.
#[derive(Debug, Clone, Copy)]
pub struct Counting;

impl Process for Counting {
    fn reaches(&self, stream: &StreamId, command: &dyn AnyCommand, _shards: u16) -> Vec<StreamId> {
        let command = command.as_any().downcast_ref::<ReviewCommand>();
        command.map(|command| self::stream(stream.tenant(), command.product_id())).into_iter().collect()
    }

    fn follows(&self, stream: &StreamId, decided: &Decided) -> Vec<Step> {
        let events = decided.typed::<Vec<ReviewEvent>>().into_iter().flatten().map(ReviewEvent::standing);
        let count = |(product_id, Standing { before, after, .. }): (Uuid, Standing)| {
            let count = RatingCommand::Count { product_id, before, after };
            (before != after).then(|| Step::new(self::stream(stream.tenant(), product_id), count))
        };
        events.filter_map(count).collect()
    }
}

#[cfg(test)]
mod tests;
