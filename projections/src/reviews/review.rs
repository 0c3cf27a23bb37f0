//! Reviews, by id and as lists. Their texts are sealed here too.

use domain::event::RecordedEvent;
use domain::personal::Sealed;
use domain::reviews::review::{KIND, ReviewEvent, ReviewStatus, ReviewView};
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, int, tenant, text};
use crate::engine::model::Projection;
use crate::engine::query::Direction::{Ascending, Descending};
use crate::engine::query::{Condition, Listed, Page, Row, Select, Unreadable, View, first, list};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};

/// One row per review; withdrawn and hidden ones stay.
pub static REVIEWS: Table = Table {
    name: "reviews",
    about: "One row per review: one customer's of one product.",
    key: &[TENANT, col("review_id", ColumnKind::Uuid, "The review")],
    groups: &[Group {
        name: "review",
        source: KIND,
        columns: &[
            col("product_id", ColumnKind::Uuid, "The product"),
            col("customer_id", ColumnKind::Uuid, "The customer's user id"),
            col("order_id", ColumnKind::Uuid, "The order by which they bought it"),
            col("rating", ColumnKind::Int, "1 to 5"),
            col("text", ColumnKind::Text, "What they say: ciphertext under the customer's key"),
            col(
                "status",
                ColumnKind::Text,
                "published (everybody sees it, and it counts), hidden, withdrawn",
            ),
            col("hidden_because", ColumnKind::Text, "Why support has hidden it, if it has"),
            CREATED_AT,
            UPDATED_AT,
        ],
    }],
    indexes: &[
        Index {
            name: "reviews_by_product",
            on: &["tenant", "product_id", "status", "created_at DESC", "review_id"],
            only: None,
        },
        Index {
            name: "reviews_by_rating",
            on: &["tenant", "product_id", "status", "rating DESC", "created_at DESC", "review_id"],
            only: None,
        },
        Index {
            name: "reviews_by_customer",
            on: &["tenant", "customer_id", "created_at DESC", "review_id"],
            only: None,
        },
        Index { name: "reviews_by_created", on: &["tenant", "created_at DESC", "review_id"], only: None },
        Index {
            name: "reviews_by_status",
            on: &["tenant", "status", "created_at DESC", "review_id"],
            only: None,
        },
    ],
};

/// The name of the projection.
pub const NAME: &str = "reviews";

/// The projection `reviews`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reviews;

impl Projection for Reviews {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&REVIEWS] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != KIND {
            return Ok(vec![]);
        }
        let decoded = event.typed::<ReviewEvent>()?;
        let (product_id, standing) = decoded.standing();
        let mut set =
            vec![("status", text(standing.status.as_str())), ("updated_at", Value::Time(event.time))];
        match decoded {
            ReviewEvent::Written(written) => {
                set.extend([
                    ("product_id", Value::Uuid(product_id)),
                    ("customer_id", Value::Uuid(written.customer_id)),
                    ("order_id", Value::Uuid(written.order_id)),
                    ("rating", int(event, written.rating.into())?),
                    ("text", text(written.text.as_text())),
                ]);
                // Written anew, it keeps its place in the lists.
                if event.version == 1 {
                    set.push(("created_at", Value::Time(event.time)));
                }
            }
            ReviewEvent::Changed(changed) => set.extend([
                ("rating", int(event, changed.rating.into())?),
                ("text", text(changed.text.as_text())),
            ]),
            ReviewEvent::Withdrawn(_) => {}
            ReviewEvent::Hidden(hidden) => set.push(("hidden_because", text(hidden.reason.as_str()))),
            ReviewEvent::Shown(_) => set.push(("hidden_because", Value::Null)),
        }
        Ok(vec![RowChange {
            table: &REVIEWS,
            key: vec![tenant(event), Value::Uuid(event.stream_uuid()?)],
            group: "review",
            version: event.version,
            set,
        }])
    }
}

impl View for ReviewView<Sealed> {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &REVIEWS;

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self {
            id: row.uuid("review_id")?,
            product_id: row.uuid("product_id")?,
            customer_id: Some(row.uuid("customer_id")?),
            order_id: Some(row.uuid("order_id")?),
            rating: row.number("rating")?,
            text: Sealed::from_text(row.text("text")?.to_owned()),
            status: row.parsed("status")?,
            hidden_because: row.parsed_or_none("hidden_because")?,
            version: row.version("review")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

/// The order of a product's reviews.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReviewSort {
    /// Newest first.
    #[default]
    Newest,
    /// Best first; of equal ones the newest.
    Best,
}

impl ReviewSort {
    /// What a cursor of this order is bound to.
    fn list(self) -> &'static str {
        match self {
            Self::Newest => "reviews-newest",
            Self::Best => "reviews-best",
        }
    }

    /// The reviews of a product that are shown, in this order.
    #[must_use]
    pub fn select(self, tenant: &str, product_id: Uuid) -> Select {
        let select = Select::of::<ReviewView<Sealed>>(tenant)
            .and(Condition::Is("product_id", Value::Uuid(product_id)))
            .and(Condition::Is("status", text(ReviewStatus::Published.as_str())));
        newest_first(match self {
            Self::Newest => select,
            Self::Best => select.by("rating", Descending),
        })
    }
}

/// Which reviews.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReviewFilter {
    /// Only this customer's.
    pub customer_id: Option<Uuid>,
    /// Only those of this status.
    pub status: Option<ReviewStatus>,
}

impl ReviewFilter {
    /// The reviews of a tenant that it lets through, newest first.
    #[must_use]
    pub fn select(&self, tenant: &str) -> Select {
        newest_first(
            Select::of::<ReviewView<Sealed>>(tenant)
                .and_some("customer_id", self.customer_id.map(Value::Uuid))
                .and_some("status", self.status.map(|status| text(status.as_str()))),
        )
    }
}

/// Questions about reviews.
pub trait ReadReviews: ReadModels {
    /// A review, also one that isn't shown.
    ///
    /// # Errors
    /// [`ReadError`], here and below.
    fn review(
        &self,
        tenant: &str,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<ReviewView<Sealed>>, ReadError>> + Send {
        async move {
            first(
                self,
                Select::of::<ReviewView<Sealed>>(tenant).and(Condition::Is("review_id", Value::Uuid(id))),
            )
            .await
        }
    }

    /// The reviews of a product that are shown.
    fn product_reviews(
        &self,
        tenant: &str,
        product_id: Uuid,
        sort: ReviewSort,
        page: &Page,
    ) -> impl Future<Output = Result<Listed<ReviewView<Sealed>>, ReadError>> + Send {
        async move { list(self, sort.list(), sort.select(tenant, product_id), page).await }
    }

    /// Reviews of all products, newest first.
    fn reviews(
        &self,
        tenant: &str,
        filter: &ReviewFilter,
        page: &Page,
    ) -> impl Future<Output = Result<Listed<ReviewView<Sealed>>, ReadError>> + Send {
        async move { list(self, "reviews", filter.select(tenant), page).await }
    }
}

impl<R: ReadModels + ?Sized> ReadReviews for R {}

fn newest_first(select: Select) -> Select {
    select.by("created_at", Descending).by("review_id", Ascending)
}

#[cfg(test)]
mod tests {
    use domain::reviews::review::{HideReason, ReviewHidden, ReviewShown, ReviewWritten, Standing};

    use super::*;
    use crate::engine::testing::{ID, event, now, set, text as t};

    fn standing(status: ReviewStatus) -> Standing {
        Standing { status, before: 0, after: 0 }
    }

    // proves: CAT-3
    #[test]
    fn a_review_that_is_written_anew_keeps_its_place_and_what_support_decided() {
        let written = ReviewEvent::Written(ReviewWritten {
            product_id: ID,
            customer_id: Uuid::from_u128(2),
            order_id: Uuid::from_u128(3),
            rating: 4,
            text: Sealed::from_text("v1.Z29vZA".into()),
            standing: standing(ReviewStatus::Hidden),
        });
        let rows = Reviews.map(&event(KIND, 1, &written)).unwrap();
        assert_eq!(set(&rows[0], "created_at"), Some(&Value::Time(now())));
        assert_eq!(set(&rows[0], "rating"), Some(&Value::Int(4)));
        let rows = Reviews.map(&event(KIND, 5, &written)).unwrap();
        assert_eq!((set(&rows[0], "created_at"), set(&rows[0], "hidden_because")), (None, None));
        assert_eq!(set(&rows[0], "status"), Some(&t("hidden")));
    }

    // proves: CAT-3
    #[test]
    fn why_it_is_hidden_is_told_until_it_is_shown() {
        let reason = HideReason::OffTopic;
        let hidden = ReviewEvent::Hidden(ReviewHidden {
            product_id: ID,
            reason,
            standing: standing(ReviewStatus::Withdrawn),
        });
        let rows = Reviews.map(&event(KIND, 2, &hidden)).unwrap();
        assert_eq!(set(&rows[0], "hidden_because"), Some(&t("off_topic")));
        assert_eq!(set(&rows[0], "status"), Some(&t("withdrawn")));
        let shown =
            ReviewEvent::Shown(ReviewShown { product_id: ID, standing: standing(ReviewStatus::Published) });
        let rows = Reviews.map(&event(KIND, 3, &shown)).unwrap();
        assert_eq!(set(&rows[0], "hidden_because"), Some(&Value::Null));
    }
}
