//! The ratings of products: how many reviews of each are shown, and what they come to.

use domain::event::RecordedEvent;
use domain::reviews::rating::{KIND, ProductRating, RatingChanged, RatingEvent};
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::mapping::{TENANT, UPDATED_AT, int, tenant};
use crate::engine::model::Projection;
use crate::engine::query::Direction::Ascending;
use crate::engine::query::{Condition, Row, Select, Unreadable, View, all};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value, col};

/// One row per product that was reviewed.
pub static PRODUCT_RATINGS: Table = Table {
    name: "product_ratings",
    about: "One row per product that was ever reviewed.",
    key: &[TENANT, col("product_id", ColumnKind::Uuid, "The product")],
    groups: &[Group {
        name: "rating",
        source: KIND,
        columns: &[
            col("reviews", ColumnKind::Int, "How many reviews are shown, and count"),
            col(
                "stars",
                ColumnKind::Int,
                "The sum of their ratings, each 1 to 5; the average is this by `reviews`",
            ),
            UPDATED_AT,
        ],
    }],
    indexes: &[],
};

/// The name of the projection.
pub const NAME: &str = "ratings";

/// The projection `ratings`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ratings;

impl Projection for Ratings {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&PRODUCT_RATINGS] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != KIND {
            return Ok(vec![]);
        }
        let RatingEvent::Changed(RatingChanged { product_id, count, sum }) = event.typed::<RatingEvent>()?;
        Ok(vec![RowChange {
            table: &PRODUCT_RATINGS,
            key: vec![tenant(event), Value::Uuid(product_id)],
            group: "rating",
            version: event.version,
            set: vec![
                ("reviews", int(event, count)?),
                ("stars", int(event, sum)?),
                ("updated_at", Value::Time(event.time)),
            ],
        }])
    }
}

/// The rating of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatingRow {
    /// The product.
    pub product_id: Uuid,
    /// What its reviews come to.
    pub rating: ProductRating,
}

impl View for RatingRow {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &PRODUCT_RATINGS;

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self {
            product_id: row.uuid("product_id")?,
            rating: ProductRating { count: row.number("reviews")?, sum: row.number("stars")? },
        })
    }
}

/// Questions about ratings.
pub trait ReadRatings: ReadModels {
    /// The ratings of products; nothing for one that was never reviewed.
    ///
    /// # Errors
    /// [`ReadError`].
    fn ratings(
        &self,
        tenant: &str,
        products: &[Uuid],
    ) -> impl Future<Output = Result<Vec<RatingRow>, ReadError>> + Send {
        async move {
            let products = products.iter().copied().map(Value::Uuid).collect();
            let select = Select::of::<RatingRow>(tenant).and(Condition::In("product_id", products));
            all(self, select.by("product_id", Ascending)).await
        }
    }
}

impl<R: ReadModels + ?Sized> ReadRatings for R {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{ID, event, set};

    // proves: CAT-3
    #[test]
    fn a_rating_is_what_was_counted_last() {
        let changed = RatingEvent::Changed(RatingChanged { product_id: ID, count: 2, sum: 9 });
        let rows = Ratings.map(&event(KIND, 3, &changed)).unwrap();
        assert_eq!((rows[0].version, &rows[0].key[1]), (3, &Value::Uuid(ID)));
        assert_eq!(set(&rows[0], "reviews"), Some(&Value::Int(2)));
        assert_eq!(set(&rows[0], "stars"), Some(&Value::Int(9)));
    }
}
