//! Ratings as they are shown: one shape for what commands and queries return.

use axum::http::StatusCode;
use domain::catalogue::product::ProductView;
use domain::command::Accepted;
use domain::reviews::rating::{self, ProductRating};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::web::CommandState;
use crate::web::issue::{Reply, answer_of};
use crate::web::problem::Problem;

/// What the reviews of a product come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Rating {
    /// How many reviews are shown.
    count: u64,
    /// Their average, 1 to 5, to two decimals; null without a review.
    #[schema(required = true, minimum = 1, maximum = 5, example = 4.25)]
    average: Option<f64>,
}

impl From<ProductRating> for Rating {
    fn from(ProductRating { count, sum }: ProductRating) -> Self {
        // In hundredths, rounded half up.
        let hundredths = (sum * 200 + count).checked_div(count * 2);
        #[expect(clippy::cast_precision_loss, reason = "at most 500")]
        let average = hundredths.map(|n| n as f64 / 100.0);
        Self { count, average }
    }
}

/// A product, and what its reviews come to.
#[derive(Debug, Serialize, ToSchema)]
pub struct RatedProduct {
    #[serde(flatten)]
    product: ProductView,
    /// What its reviews come to.
    rating: Rating,
}

impl RatedProduct {
    /// A product with its rating.
    #[must_use]
    pub fn new(product: ProductView, rating: ProductRating) -> Self {
        Self { product, rating: rating.into() }
    }
}

/// What `ETag` says of a product: its version, by which updates go, and what its rating is made of, where there is one.
#[must_use]
pub fn product_tag(version: u64, rating: ProductRating) -> String {
    match rating {
        ProductRating { count: 0, .. } => version.to_string(),
        ProductRating { count, sum } => format!("{version}.{count}.{sum}"),
    }
}

/// The rating of a product, as its owner knows it.
pub(crate) async fn rating_of(
    state: &CommandState,
    tenant: &str,
    product_id: Uuid,
) -> Result<ProductRating, Problem> {
    let found = state.read::<ProductRating>(&rating::stream(tenant, product_id)).await?;
    Ok(found.map(|(rating, _)| rating).unwrap_or_default())
}

/// The answer of a command for a product, with the rating. That was read before the command was decided: what fails after it would be told
/// as if nothing had been done.
pub(crate) fn rated(
    status: StatusCode,
    accepted: &Accepted,
    rating: ProductRating,
) -> Result<Reply, Problem> {
    let mut product = answer_of(accepted)?;
    product["rating"] = serde_json::to_value(Rating::from(rating)).map_err(|_| Problem::internal())?;
    let tag = |product: &mut Value| Some(product_tag(product["version"].as_u64()?, rating));
    Ok(Reply::with(status, accepted, product).tagged_by(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: CAT-3
    #[test]
    fn an_average_has_two_decimals() {
        for (count, sum, average) in [
            (0, 0, None),
            (1, 5, Some(5.0)),
            (3, 13, Some(4.33)),
            (3, 14, Some(4.67)),
            (8, 33, Some(4.13)),
            (200, 801, Some(4.01)),
        ] {
            assert_eq!(
                Rating::from(ProductRating { count, sum }),
                Rating { count, average },
                "{sum} of {count}"
            );
        }
    }

    // proves: CAT-3, QRY-1
    #[test]
    fn no_two_ratings_of_a_version_share_a_tag() {
        let tags: std::collections::BTreeSet<String> = (0..9_u64)
            .flat_map(|n| [(1, n, 3 * n), (1, n, 4 * n), (2, n, 3 * n)])
            .map(|(version, count, sum)| product_tag(version, ProductRating { count, sum }))
            .collect();
        // Without a review there is nothing to sum.
        assert_eq!(tags.len(), 9 * 3 - 1);
    }
}
