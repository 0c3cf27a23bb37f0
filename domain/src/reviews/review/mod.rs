//! A review: one customer's of one product. Stream type `review`; its id follows from both ([`review_of`](super::review_of)).
//!
//! Whoever withdraws a review can write it anew in the same stream. Hidden is hidden: neither a change nor writing anew shows it again.

mod view;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::view::ReviewView;
use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::names::wire_names;
use crate::personal::Sealed;
use crate::refusal::{DomainError, RefusalKind};

/// The stream type.
pub const KIND: &str = "review";
/// The best rating; the worst is 1.
pub const BEST: u8 = 5;
/// The longest text, in characters. It is sealed before it gets here, so whoever seals it checks that.
pub const MAX_TEXT: usize = 5_000;

/// Whether a review is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewStatus {
    /// Everybody sees it, and it counts.
    #[default]
    Published,
    /// Support has hidden it.
    Hidden,
    /// The customer has withdrawn it.
    Withdrawn,
}

wire_names!(ReviewStatus, "a status of a review", {
    Published => "published",
    Hidden => "hidden",
    Withdrawn => "withdrawn",
});

/// Why a review was hidden. Nobody's own words: the log is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HideReason {
    /// It insults somebody.
    Offensive,
    /// It advertises something.
    Spam,
    /// It isn't about the product.
    OffTopic,
    /// It tells of somebody what isn't for everybody.
    PersonalData,
    /// The law doesn't allow it.
    Unlawful,
}

wire_names!(HideReason, "a reason to hide a review", {
    Offensive => "offensive",
    Spam => "spam",
    OffTopic => "off_topic",
    PersonalData => "personal_data",
    Unlawful => "unlawful",
});

/// A command for a review. It names the product, whose rating is counted in the same frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReviewCommand {
    /// The customer writes it.
    Write {
        /// The product.
        product_id: Uuid,
        /// The customer's user id: the subject of the sealed text.
        customer_id: Uuid,
        /// The order by which they bought it.
        order_id: Uuid,
        /// 1 to 5.
        rating: u8,
        /// What they say.
        text: Sealed,
    },
    /// They change it.
    Change {
        /// The product.
        product_id: Uuid,
        /// 1 to 5.
        rating: u8,
        /// What they say now.
        text: Sealed,
    },
    /// They withdraw it.
    Withdraw {
        /// The product.
        product_id: Uuid,
    },
    /// Support hides it.
    Hide {
        /// The product.
        product_id: Uuid,
        /// Why.
        reason: HideReason,
    },
    /// Support shows it again.
    Show {
        /// The product.
        product_id: Uuid,
    },
}

impl ReviewCommand {
    /// The product.
    #[must_use]
    pub fn product_id(&self) -> Uuid {
        match self {
            Self::Write { product_id, .. }
            | Self::Change { product_id, .. }
            | Self::Withdraw { product_id }
            | Self::Hide { product_id, .. }
            | Self::Show { product_id } => *product_id,
        }
    }
}

/// What an event makes of a review: whether it is shown then, and what it counted as in its product's rating before and counts as after; 0
/// where it doesn't count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// After.
    pub status: ReviewStatus,
    /// What it counted as.
    pub before: u8,
    /// What it counts as.
    pub after: u8,
}

/// `review.written` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewWritten {
    /// The product.
    pub product_id: Uuid,
    /// The customer's user id: the subject of the sealed text.
    pub customer_id: Uuid,
    /// The order by which they bought it.
    pub order_id: Uuid,
    /// 1 to 5.
    pub rating: u8,
    /// What they say.
    pub text: Sealed,
    /// What becomes of it.
    pub standing: Standing,
}

/// `review.changed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewChanged {
    /// The product.
    pub product_id: Uuid,
    /// 1 to 5.
    pub rating: u8,
    /// What they say now.
    pub text: Sealed,
    /// What becomes of it.
    pub standing: Standing,
}

/// `review.withdrawn` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewWithdrawn {
    /// The product.
    pub product_id: Uuid,
    /// What becomes of it.
    pub standing: Standing,
}

/// `review.hidden` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewHidden {
    /// The product.
    pub product_id: Uuid,
    /// Why.
    pub reason: HideReason,
    /// What becomes of it.
    pub standing: Standing,
}

/// `review.shown` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewShown {
    /// The product.
    pub product_id: Uuid,
    /// What becomes of it.
    pub standing: Standing,
}

crate::events! {
    /// What can happen to a review.
    pub enum ReviewEvent {
        /// The customer wrote it, perhaps anew.
        "review.written" 1 => Written(ReviewWritten),
        /// They changed it.
        "review.changed" 1 => Changed(ReviewChanged),
        /// They withdrew it.
        "review.withdrawn" 1 => Withdrawn(ReviewWithdrawn),
        /// Support hid it, perhaps for another reason than before.
        "review.hidden" 1 => Hidden(ReviewHidden),
        /// Support showed it again.
        "review.shown" 1 => Shown(ReviewShown),
    }
}

impl ReviewEvent {
    /// The product, and what becomes of the review.
    #[must_use]
    pub fn standing(&self) -> (Uuid, Standing) {
        match self {
            Self::Written(ReviewWritten { product_id, standing, .. })
            | Self::Changed(ReviewChanged { product_id, standing, .. })
            | Self::Withdrawn(ReviewWithdrawn { product_id, standing })
            | Self::Hidden(ReviewHidden { product_id, standing, .. })
            | Self::Shown(ReviewShown { product_id, standing }) => (*product_id, *standing),
        }
    }
}

/// What a customer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The product.
    pub product_id: Uuid,
    /// The customer's user id.
    pub customer_id: Uuid,
    /// The order by which they bought it.
    pub order_id: Uuid,
    /// 1 to 5.
    pub rating: u8,
    /// The text.
    pub text: Sealed,
}

/// A review's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// What was said last; `None` before.
    pub said: Option<Said>,
    /// Why it is hidden, if it is.
    pub hidden: Option<HideReason>,
    /// The customer has withdrawn it.
    pub withdrawn: bool,
}

/// Why a command for a review is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The customer has reviewed the product.
    #[error("there is a review of this product by this customer: change that one")]
    Exists,
    /// It was never written.
    #[error("there is no such review")]
    NotFound,
    /// It was withdrawn.
    #[error("the review was withdrawn; write it anew")]
    Withdrawn,
    /// The rating is none.
    #[error("a rating is a whole number from 1 to 5")]
    Rating,
    /// The order hasn't left the warehouse: it may still be called off, and then nothing was bought.
    #[error("who hasn't bought a product can't review it: the order isn't shipped")]
    NotBought,
}

impl DomainError for ReviewError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::Rating => RefusalKind::Invalid,
            Self::Exists | Self::Withdrawn | Self::NotBought => RefusalKind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "review-exists",
            Self::NotFound => "review-not-found",
            Self::Withdrawn => "review-withdrawn",
            Self::Rating => "rating-out-of-range",
            Self::NotBought => "product-not-bought",
        }
    }
}

crate::cqrs_aggregate!(Review, "review", ReviewCommand, ReviewEvent, ReviewError);

impl Review {
    /// Whether it is shown.
    #[must_use]
    pub fn status(&self) -> ReviewStatus {
        status(self.withdrawn, self.hidden)
    }

    /// What it counts as now.
    fn counts(&self) -> u8 {
        let counts = self.status() == ReviewStatus::Published;
        self.said.as_ref().filter(|_| counts).map_or(0, |said| said.rating)
    }

    /// What becomes of it when it has this rating, and is withdrawn or hidden or not.
    fn becomes(&self, rating: u8, withdrawn: bool, hidden: Option<HideReason>) -> Standing {
        let status = status(withdrawn, hidden);
        let after = if status == ReviewStatus::Published { rating } else { 0 };
        Standing { status, before: self.counts(), after }
    }

    fn there(&self) -> Result<&Said, ReviewError> {
        let said = self.said.as_ref().ok_or(ReviewError::NotFound)?;
        if self.withdrawn { Err(ReviewError::Withdrawn) } else { Ok(said) }
    }
}

fn status(withdrawn: bool, hidden: Option<HideReason>) -> ReviewStatus {
    match (withdrawn, hidden) {
        (true, _) => ReviewStatus::Withdrawn,
        (false, Some(_)) => ReviewStatus::Hidden,
        (false, None) => ReviewStatus::Published,
    }
}

fn rated(rating: u8) -> Result<u8, ReviewError> {
    if (1..=BEST).contains(&rating) { Ok(rating) } else { Err(ReviewError::Rating) }
}

impl Aggregate for Review {
    fn decide(
        &self,
        command: &ReviewCommand,
        _context: &DecisionContext,
    ) -> Result<Vec<ReviewEvent>, ReviewError> {
        let product_id = command.product_id();
        if self.said.as_ref().is_some_and(|said| said.product_id != product_id) {
            return Err(ReviewError::NotFound);
        }
        let event = match command {
            ReviewCommand::Write { customer_id, order_id, rating, text, .. } => {
                if self.said.is_some() && !self.withdrawn {
                    return Err(ReviewError::Exists);
                }
                ReviewEvent::Written(ReviewWritten {
                    product_id,
                    customer_id: *customer_id,
                    order_id: *order_id,
                    rating: rated(*rating)?,
                    text: text.clone(),
                    standing: self.becomes(*rating, false, self.hidden),
                })
            }
            ReviewCommand::Change { rating, text, .. } => {
                let said = self.there()?;
                if (said.rating, &said.text) == (*rating, text) {
                    return Ok(Vec::new());
                }
                ReviewEvent::Changed(ReviewChanged {
                    product_id,
                    rating: rated(*rating)?,
                    text: text.clone(),
                    standing: self.becomes(*rating, false, self.hidden),
                })
            }
            ReviewCommand::Withdraw { .. } => {
                let said = match self.there() {
                    Err(ReviewError::Withdrawn) => return Ok(Vec::new()),
                    said => said?,
                };
                let standing = self.becomes(said.rating, true, self.hidden);
                ReviewEvent::Withdrawn(ReviewWithdrawn { product_id, standing })
            }
            ReviewCommand::Hide { reason, .. } => {
                let said = self.said.as_ref().ok_or(ReviewError::NotFound)?;
                if self.hidden == Some(*reason) {
                    return Ok(Vec::new());
                }
                let standing = self.becomes(said.rating, self.withdrawn, Some(*reason));
                ReviewEvent::Hidden(ReviewHidden { product_id, reason: *reason, standing })
            }
            ReviewCommand::Show { .. } => {
                let said = self.said.as_ref().ok_or(ReviewError::NotFound)?;
                if self.hidden.is_none() {
                    return Ok(Vec::new());
                }
                let standing = self.becomes(said.rating, self.withdrawn, None);
                ReviewEvent::Shown(ReviewShown { product_id, standing })
            }
        };
        Ok(vec![event])
    }

    fn evolve(&mut self, event: &ReviewEvent) {
        match event {
            ReviewEvent::Written(written) => {
                self.withdrawn = false;
                self.said = Some(Said {
                    product_id: written.product_id,
                    customer_id: written.customer_id,
                    order_id: written.order_id,
                    rating: written.rating,
                    text: written.text.clone(),
                });
            }
            ReviewEvent::Changed(changed) => {
                if let Some(said) = &mut self.said {
                    said.rating = changed.rating;
                    said.text = changed.text.clone();
                }
            }
            ReviewEvent::Withdrawn(_) => self.withdrawn = true,
            ReviewEvent::Hidden(hidden) => self.hidden = Some(hidden.reason),
            ReviewEvent::Shown(_) => self.hidden = None,
        }
    }

    fn weight(&self) -> usize {
        let text = self.said.as_ref().map_or(0, |said| said.text.as_text().len());
        size_of::<Self>() + text + 256
    }

    fn answer(&self, meta: &StreamMeta) -> Option<Value> {
        serde_json::to_value(ReviewView::of(self, meta)?).ok()
    }
}

#[cfg(test)]
mod tests;
