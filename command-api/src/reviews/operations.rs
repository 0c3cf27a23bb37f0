//! Writing, changing and withdrawing a review; hiding it and showing it again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::aggregate::StreamMeta;
use domain::command::{Accepted, Step};
use domain::identity::user::Role;
use domain::ordering::order::{Order, OrderStatus};
use domain::personal::{Sealed, subject};
use domain::refusal::Refusal;
use domain::reviews::review::{
    BEST, HideReason, KIND, MAX_TEXT, Review, ReviewCommand, ReviewError, ReviewView, Said,
};
use domain::reviews::review_of;
use domain::stream::StreamId;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::catalogue::products;
use crate::web::body::{FromBody, NoBody, integer, one_of, prose, uuid};
use crate::web::caller::Caller;
use crate::web::issue::{Incoming, Issue, Key, Reply, answer_of, path_id};
use crate::web::openapi::{ById, Conflicting, Matching, OptionalKey, OptionalMatch, Usual, WithBody};
use crate::web::preconditions::{IfMatch, personal_tag};
use crate::web::problem::{FieldError, Problem};
use crate::web::routes::Routes;
use crate::web::state::CommandState;

/// Who hides reviews.
const MODERATORS: &[Role] = &[Role::Admin, Role::Support];

pub(super) fn routes() -> Routes<CommandState> {
    Routes::default()
        .roles(&[Role::Customer], routes!(write))
        .authenticated(routes!(change))
        .authenticated(routes!(withdraw))
        .roles(MODERATORS, routes!(hide))
        .roles(MODERATORS, routes!(show))
}

crate::body! {
    /// A review to write.
    struct ReviewInput {
        /// A shipped order of one's own that has the product.
        order_id: Uuid = uuid(),
        /// 5 is best.
        rating: u8 = integer(1..=BEST),
        /// What one has to say of the product; kept encrypted, and shown to everybody.
        text: String = prose(1..=MAX_TEXT),
    }
}

crate::body! {
    /// What a review says from now on.
    struct ReviewUpdate {
        /// 5 is best.
        rating: u8 = integer(1..=BEST),
        /// What one has to say of the product.
        text: String = prose(1..=MAX_TEXT),
    }
}

crate::body! {
    /// Why a review is hidden.
    struct HideInput {
        /// The kind of reason.
        reason: HideReason = one_of(&HideReason::ALL),
    }
}

/// Writes a review of a product that one has bought: one for each product.
#[utoipa::path(
    post, path = "/api/v1/products/{id}/reviews", operation_id = "write_review", tag = "reviews",
    params(("id" = Uuid, Path, description = "The product."), OptionalKey), request_body = ReviewInput,
    responses(
        (status = 201, description = "The review.", body = ReviewView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting,
    ),
)]
async fn write(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let caller = incoming.caller()?;
    let product = products::existing(&state, &caller, &id).await?.stream;
    let product_id = path_id(product.id(), products::PRODUCT)?;
    let (issue, ReviewInput { order_id, rating, text }) = incoming.read(&state, Key::Optional).await?;
    let shards = state.gateway.shards();
    let customer = state.keys.blind(&format!("review:{product_id}:{}", caller.user_id));
    let review = review_of(&caller.tenant, product_id, &customer, shards);
    let write = write_command(&state, &caller, product_id, order_id, rating, &text).await;
    let accepted = match write {
        Ok(write) => issue.submit(&state, vec![Step::new(review, write)]).await?,
        // The order, or the customer, may have gone since the first time.
        Err(refused) => issue.repeat_or(&state, review.shard(shards), refused).await?,
    };
    Ok(reply(&state, &issue, StatusCode::CREATED, &accepted, text).await?.within("/api/v1/reviews"))
}

async fn write_command(
    state: &CommandState,
    caller: &Caller,
    product_id: Uuid,
    order_id: Uuid,
    rating: u8,
    text: &str,
) -> Result<ReviewCommand, Problem> {
    if let Some(refused) = not_bought(state, caller, product_id, order_id).await? {
        return Err(refused);
    }
    let customer_id = caller.user_id;
    let text = state.keys.seal_one(&caller.stream(), text).await?;
    Ok(ReviewCommand::Write { product_id, customer_id, order_id, rating, text })
}

/// Why the caller hasn't bought a product by an order, if that is so. Somebody else's order is like none at all.
async fn not_bought(
    state: &CommandState,
    caller: &Caller,
    product_id: Uuid,
    order_id: Uuid,
) -> Result<Option<Problem>, Problem> {
    let found = state.read::<Order>(&StreamId::new(&caller.tenant, "order", order_id)).await?;
    let bought = found.and_then(|(order, _)| {
        let placed = order.placed.filter(|placed| placed.customer_id == caller.user_id)?;
        placed.lines.iter().any(|line| line.product_id == product_id).then_some(order.status)
    });
    Ok(match bought {
        None => {
            let detail = "is no order of yours that has the product".to_owned();
            Some(Problem::invalid(vec![FieldError { pointer: "/order_id".into(), detail }]))
        }
        Some(status) if status.has_reached(OrderStatus::Shipped) => None,
        // Until then it may be called off.
        Some(_) => Some(Refusal::from(ReviewError::NotBought).into()),
    })
}

/// The review in the clear, as who wrote it and who moderates see it. The text is the one that the command was given, or that was opened
/// before it was decided: what fails after it would be told as if nothing had been done. A repeat has the text of its first answer.
async fn reply(
    state: &CommandState,
    issue: &Issue,
    status: StatusCode,
    accepted: &Accepted,
    text: String,
) -> Result<Reply, Problem> {
    let unreadable = |error: serde_json::Error| {
        tracing::error!(%error, command = %accepted.id, "a stored answer is no review");
        Problem::internal()
    };
    let mut review: ReviewView = serde_json::from_value(answer_of(accepted)?).map_err(unreadable)?;
    review.text = match (accepted.repeated, review.customer_id) {
        (true, Some(author)) => {
            let sealed = Sealed::from_text(review.text);
            state.keys.open_one(&subject(&issue.tenant, author), &sealed).await?
        }
        _ => text,
    };
    let tag = personal_tag(review.version, [review.text.as_str()]);
    let body = serde_json::to_value(review).map_err(unreadable)?;
    Ok(Reply::with(status, accepted, body).tagged_by(|_| Some(tag)))
}

/// A review that the caller may command. Somebody else's is like none at all, so that ids can't be probed.
struct Found {
    stream: StreamId,
    said: Said,
    /// What it says, in the clear.
    text: String,
    meta: StreamMeta,
}

impl Found {
    async fn read(state: &CommandState, caller: &Caller, id: &str, of_others: bool) -> Result<Self, Problem> {
        let stream = StreamId::new(&caller.tenant, KIND, path_id(id, KIND)?);
        let found = state.read::<Review>(&stream).await?;
        let found = found.and_then(|(review, meta)| Some((review.said?, meta)));
        let found = found.filter(|(said, _)| of_others || said.customer_id == caller.user_id);
        let (said, meta) = found.ok_or_else(|| Problem::not_found(KIND))?;
        let text = state.keys.open_one(&subject(&caller.tenant, said.customer_id), &said.text).await?;
        Ok(Self { stream, said, text, meta })
    }

    /// What is to happen, to the version that the client names.
    fn step(&self, expected: Option<&IfMatch>, command: ReviewCommand) -> Step {
        Step {
            expected_version: expected.and_then(|tags| tags.version(self.meta.version)),
            ..Step::new(self.stream.clone(), command)
        }
    }
}

/// Has something happen to a review that leaves its words as they are.
async fn act<B: FromBody>(
    state: &CommandState,
    id: &str,
    incoming: Incoming,
    of_others: bool,
    command: impl FnOnce(Uuid, B) -> ReviewCommand,
) -> Result<Reply, Problem> {
    let found = Found::read(state, &incoming.caller()?, id, of_others).await?;
    let expected = IfMatch::read(&incoming.headers)?;
    let (issue, body) = incoming.read(state, Key::Optional).await?;
    let step = found.step(expected.as_ref(), command(found.said.product_id, body));
    let accepted = issue.submit(state, vec![step]).await?;
    reply(state, &issue, StatusCode::OK, &accepted, found.text).await
}

/// Changes one's own review. What support has hidden stays hidden.
#[utoipa::path(
    put, path = "/api/v1/reviews/{id}", operation_id = "change_review", tag = "reviews",
    params(("id" = Uuid, Path, description = "The review."), OptionalKey, OptionalMatch),
    request_body = ReviewUpdate,
    responses(
        (status = 200, description = "The review as it is now.", body = ReviewView, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn change(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let found = Found::read(&state, &incoming.caller()?, &id, false).await?;
    let product_id = found.said.product_id;
    let expected = IfMatch::read(&incoming.headers)?;
    let (issue, ReviewUpdate { rating, text }) = incoming.read(&state, Key::Optional).await?;
    // The same words in new ciphertext would be a change; in the old one they are none.
    let sealed = match text == found.text {
        true => found.said.text.clone(),
        false => state.keys.seal_one(&subject(&issue.tenant, found.said.customer_id), &text).await?,
    };
    let command = ReviewCommand::Change { product_id, rating, text: sealed };
    let accepted = issue.submit(&state, vec![found.step(expected.as_ref(), command)]).await?;
    reply(&state, &issue, StatusCode::OK, &accepted, text).await
}

/// Withdraws one's own review: only its author, support and admins see it any more, and it doesn't count. It can be written anew.
#[utoipa::path(
    delete, path = "/api/v1/reviews/{id}", operation_id = "withdraw_review", tag = "reviews",
    params(("id" = Uuid, Path, description = "The review."), OptionalKey, OptionalMatch),
    responses(
        (status = 200, description = "The review as it is now.", body = ReviewView, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn withdraw(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    act(&state, &id, incoming, false, |product_id, NoBody| ReviewCommand::Withdraw { product_id }).await
}

/// Hides a review: only its author, support and admins see it, and it doesn't count.
#[utoipa::path(
    post, path = "/api/v1/reviews/{id}/hide", operation_id = "hide_review", tag = "reviews",
    params(("id" = Uuid, Path, description = "The review."), OptionalKey, OptionalMatch),
    request_body = HideInput,
    responses(
        (status = 200, description = "The review as it is now.", body = ReviewView, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn hide(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    act(&state, &id, incoming, true, |product_id, HideInput { reason }| ReviewCommand::Hide {
        product_id,
        reason,
    })
    .await
}

/// Shows a review again that was hidden.
#[utoipa::path(
    post, path = "/api/v1/reviews/{id}/show", operation_id = "show_review", tag = "reviews",
    params(("id" = Uuid, Path, description = "The review."), OptionalKey, OptionalMatch),
    responses(
        (status = 200, description = "The review as it is now.", body = ReviewView, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn show(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    act(&state, &id, incoming, true, |product_id, NoBody| ReviewCommand::Show { product_id }).await
}
