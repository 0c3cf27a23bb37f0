//! Reviews: those of a product, one by id, one's own, and all of them for those who moderate.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::preconditions::personal_tag;
use command_api::web::problem::Problem;
use domain::identity::user::Role;
use domain::personal::{ERASED, Sealed, subject};
use domain::ports::keys::KeyError;
use domain::reviews::review::{KIND, ReviewStatus, ReviewView};
use domain::stream::StreamId;
use futures::future::try_join_all;
use projections::catalogue::products::{self, ReadProducts as _};
use projections::reviews::review::{self as reviews, ReadReviews as _, ReviewFilter, ReviewSort};

use crate::web::ask::{Ask, not_parked};
use crate::web::cursor::Scope;
use crate::web::docs::{ConditionalParam, PageParams, SyncParam};
use crate::web::failed::Failed;
use crate::web::params::path_id;
use crate::web::reply::{ListOf, ok, tagged};
use crate::web::state::QueryState;

/// Who sees reviews that aren't shown, and who wrote them.
const MODERATORS: &[Role] = &[Role::Admin, Role::Support];
/// The orders of a product's reviews.
const SORTS: [(&str, ReviewSort); 2] = [("-created", ReviewSort::Newest), ("-rating", ReviewSort::Best)];

/// Whether somebody sees all of a review.
fn sees_all(caller: Option<&Caller>, row: &ReviewView<Sealed>) -> bool {
    caller.is_some_and(|caller| Some(caller.user_id) == row.customer_id || caller.has_any(MODERATORS))
}

/// The rows as the caller sees them.
async fn opened(
    state: &QueryState,
    tenant: &str,
    caller: Option<&Caller>,
    rows: Vec<ReviewView<Sealed>>,
) -> Result<Vec<ReviewView>, Failed> {
    let open = async |row: ReviewView<Sealed>| {
        // Only what others see of a review leaves its author out.
        let author = row.customer_id.ok_or(KeyError::Broken)?;
        let text = match state.ports.keys.open_one(&subject(tenant, author), &row.text).await {
            // One that can't be read hides none of the others.
            Err(KeyError::Broken) => {
                tracing::error!(review = %row.id, "the text of a review can't be decrypted");
                ERASED.to_owned()
            }
            opened => opened?,
        };
        let all = sees_all(caller, &row);
        let review = row.opened(text);
        Ok(if all { review } else { review.for_everybody() })
    };
    try_join_all(rows.into_iter().map(open)).await
}

/// The reviews of a product that are shown.
#[utoipa::path(
    get,
    path = "/api/v1/products/{id}/reviews",
    operation_id = "list_product_reviews",
    tag = "reviews",
    summary = "List the reviews of a product",
    params(
        ("id" = Uuid, Path, description = "the product's id"),
        ("sort" = Option<String>, Query, description = "`-created` (default), newest first, or `-rating`, best first, and of equal ones the newest", pattern = "^-(created|rating)$"),
        PageParams,
        SyncParam,
    ),
    responses((status = 200, description = "A page of reviews", body = ListOf<ReviewView>), Usual, ById),
    security(())
)]
pub(super) async fn product_reviews(
    State(state): State<QueryState>,
    caller: Option<Caller>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = path_id(&id, "product")?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &["sort", "limit", "cursor"])?;
    let sort = ask.params.choice("sort", &SORTS)?.unwrap_or_default();
    let tenant = Caller::tenant_of(caller.as_ref());
    let operation = format!("list_product_reviews/{id}");
    let scope = Scope { operation: &operation, tenant, caller: None, filters: ask.params.filters() };
    let page = ask.page(&state, &scope)?;
    let read = ask.settle(&state, &[products::NAME, reviews::NAME]).await?;
    not_parked(&state, products::NAME, &StreamId::new(tenant, "product", id)).await?;
    if read.product(tenant, id).await?.is_none() {
        return Err(Problem::not_found("product").into());
    }
    let listed = read.product_reviews(tenant, id, sort, &page).await?;
    let items = opened(&state, tenant, caller.as_ref(), listed.items).await?;
    ok(&ListOf::new(&state, &scope, items, listed.next.as_deref()))
}

/// A review. One that isn't shown is not found, but for its author, support and admins.
#[utoipa::path(
    get,
    path = "/api/v1/reviews/{id}",
    operation_id = "get_review",
    tag = "reviews",
    summary = "Get a review",
    params(("id" = Uuid, Path, description = "the review's id"), SyncParam, ConditionalParam),
    responses(
        (status = 200, description = "The review", body = ReviewView, headers(("ETag" = String, description = "opaque; begins with the stream's version"))),
        (status = 304, description = "The client has this version"),
        Usual, ById,
    ),
    security(())
)]
pub(super) async fn get_review(
    State(state): State<QueryState>,
    caller: Option<Caller>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = path_id(&id, KIND)?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let read = ask.settle(&state, &[reviews::NAME]).await?;
    let tenant = Caller::tenant_of(caller.as_ref());
    let row = read.review(tenant, id).await?;
    let seen =
        |row: &ReviewView<Sealed>| row.status == ReviewStatus::Published || sees_all(caller.as_ref(), row);
    let hidden = row.as_ref().is_some_and(|row| !seen(row));
    if !hidden {
        not_parked(&state, reviews::NAME, &StreamId::new(tenant, KIND, id)).await?;
    }
    let row = row.filter(|_| !hidden).ok_or_else(|| Problem::not_found(KIND))?;
    let all = sees_all(caller.as_ref(), &row);
    let review = opened(&state, tenant, caller.as_ref(), vec![row]).await?;
    let review = review.into_iter().next().ok_or_else(|| Problem::not_found(KIND))?;
    // Who sees all of it sees another body under the same version.
    let tag = personal_tag(review.version, [review.text.as_str()]);
    tagged(&ask, &if all { tag } else { format!("{tag}-public") }, &review)
}

/// One's own reviews, newest first; support and admins see everybody's.
#[utoipa::path(
    get,
    path = "/api/v1/reviews",
    operation_id = "list_reviews",
    tag = "reviews",
    summary = "List reviews",
    params(
        ("status" = Option<ReviewStatus>, Query, description = "only reviews of this status"),
        PageParams,
        SyncParam,
    ),
    responses((status = 200, description = "A page of reviews", body = ListOf<ReviewView>), Usual)
)]
pub(super) async fn list_reviews(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let ask = Ask::read(&state, &headers, raw.as_deref(), &["status", "limit", "cursor"])?;
    let status = ask.params.choice("status", &ReviewStatus::ALL.map(|status| (status.as_str(), status)))?;
    let user = caller.user_id.to_string();
    let all = caller.has_any(MODERATORS);
    // Whose reviews are listed is part of the scope: a token with other roles begins anew.
    let operation = if all { "list_reviews/all" } else { "list_reviews/own" };
    let scope =
        Scope { operation, tenant: &caller.tenant, caller: Some(&user), filters: ask.params.filters() };
    let page = ask.page(&state, &scope)?;
    let read = ask.settle(&state, &[reviews::NAME]).await?;
    let filter = ReviewFilter { customer_id: (!all).then_some(caller.user_id), status };
    let listed = read.reviews(&caller.tenant, &filter, &page).await?;
    let items = opened(&state, &caller.tenant, Some(&caller), listed.items).await?;
    ok(&ListOf::new(&state, &scope, items, listed.next.as_deref()))
}
