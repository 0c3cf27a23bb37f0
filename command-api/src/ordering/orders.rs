//! Orders: placing and cancelling.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::aggregate::StreamMeta;
use domain::catalogue::product::Product;
use domain::command::Step;
use domain::identity::user::Role;
use domain::ordering::order::{
    Order, OrderCommand, OrderError, OrderParts, OrderStatus, OrderView, RequestedLine, ShippingAddress,
    parts,
};
use domain::refusal::Refusal;
use domain::stream::StreamId;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::catalogue::products::PRODUCT;
use crate::ordering::order_input::{AddressInput, OrderInput, OrderItemInput};
use crate::ordering::order_parts::{self, Parts};
use crate::web::body::NoBody;
use crate::web::caller::Caller;
use crate::web::issue::{Incoming, Key, Reply, path_id};
use crate::web::openapi::{
    ById, Conflicting, Matching, OptionalKey, OptionalMatch, RequiredKey, Usual, WithBody,
};
use crate::web::preconditions::{IfMatch, stale};
use crate::web::problem::{FieldError, Problem};
use crate::web::routes::Routes;
use crate::web::state::CommandState;

const ORDER: &str = "order";
/// How often an order may move on while it is looked at beside its parts, as it does when its saga is at work.
const MOVES: u32 = 5;

pub(crate) fn routes() -> Routes<CommandState> {
    Routes::default()
        .roles(&[Role::Customer], routes!(place))
        .authenticated(routes!(cancel))
        .authenticated(routes!(cancel_by_delete))
}

/// Places an order; the fulfilment saga goes on from there.
#[utoipa::path(
    post, path = "/api/v1/orders", operation_id = "place_order", tag = "orders",
    params(RequiredKey), request_body = OrderInput,
    responses(
        (status = 201, description = "The order, `pending`.", body = OrderView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "Opaque; covers the order, its payment and its shipment."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
            ("Idempotency-Replayed" = String, description = "`true` when this is the stored answer of a repeat."),
        )),
        Usual, WithBody, Conflicting,
    ),
)]
async fn place(State(state): State<CommandState>, incoming: Incoming) -> Result<Reply, Problem> {
    let caller = incoming.caller()?;
    let (issue, order) = incoming.read::<OrderInput>(&state, Key::Required).await?;
    let shards = state.gateway.shards();
    let accepted = match price(&state, &caller, &order.items).await? {
        Ok(lines) => {
            let (order_id, stream) = issue.draw_together(&parts::TOGETHER, shards);
            let place = OrderCommand::Place {
                customer_id: caller.user_id,
                lines,
                payment_method: order.payment_method,
                shipping_address: seal(&state, &caller, order.shipping_address).await?,
                parts: Some(OrderParts::beside(&issue.tenant, order_id, shards)),
            };
            issue.submit(&state, vec![Step::create(stream, place)]).await?
        }
        // The catalogue may have changed since the first time, and a repeat still gets its answer.
        Err(refused) => issue.repeat_or(&state, issue.shard(shards), refused).await?,
    };
    Ok(Reply::of(StatusCode::CREATED, &accepted)?.tagged_by(order_parts::take_tag).within("/api/v1/orders"))
}

/// Joins the items with their products as the owners know them; the inner error names every item that can't be ordered.
async fn price(
    state: &CommandState,
    caller: &Caller,
    items: &[OrderItemInput],
) -> Result<Result<Vec<RequestedLine>, Problem>, Problem> {
    let mut products: Vec<Uuid> = items.iter().map(|item| item.product_id).collect();
    products.sort_unstable();
    products.dedup();
    let streams: Vec<_> = products.iter().map(|id| StreamId::new(&caller.tenant, PRODUCT, id)).collect();
    let views = state.gateway.read(&streams).await?;
    let mut lines = Vec::new();
    let mut errors = Vec::new();
    let mut currency = None;
    for (i, item) in items.iter().enumerate() {
        let at = |detail: &str| FieldError {
            pointer: format!("/items/{i}/product_id"),
            detail: detail.to_owned(),
        };
        let view = products.binary_search(&item.product_id).ok().and_then(|at| views.get(at));
        let known = view.and_then(|view| Some((view.meta.version, view.state::<Product>()?)));
        let Some((product_version, Product { details: Some(details), price: Some(price), discontinued })) =
            known
        else {
            errors.push(at("there is no such product"));
            continue;
        };
        if *discontinued {
            errors.push(at("the product is discontinued"));
        }
        if *currency.get_or_insert(price.currency) != price.currency {
            errors.push(at("the product has another currency than the first one of the order"));
        }
        lines.push(RequestedLine {
            product_id: item.product_id,
            product_version,
            sku: details.sku.clone(),
            name: details.name.clone(),
            quantity: item.quantity,
            unit_price: *price,
        });
    }
    Ok(if errors.is_empty() { Ok(lines) } else { Err(Problem::invalid(errors)) })
}

async fn seal(
    state: &CommandState,
    caller: &Caller,
    address: AddressInput,
) -> Result<ShippingAddress, Problem> {
    let AddressInput { name, line1, city, postal_code, country } = address;
    let sealed = state.keys.seal(&caller.stream(), &[&name, &line1, &city, &postal_code]).await?;
    let Ok([name, line1, city, postal_code]) = <[_; 4]>::try_from(sealed) else {
        tracing::error!("the key store sealed another number of values than asked");
        return Err(Problem::internal());
    };
    Ok(ShippingAddress { name, line1, city, postal_code, country })
}

/// Asks to cancel an order; the saga undoes what was done. Until dispatch a cancel refunds and restocks.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/cancel", operation_id = "cancel_order", tag = "orders",
    params(("id" = Uuid, Path, description = "The order."), OptionalKey, OptionalMatch),
    responses(
        (status = 202, description = "The order; the cancellation is under way.", body = OrderView, headers(
            ("ETag" = String, description = "Opaque; covers the order, its payment and its shipment."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn cancel(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let caller = incoming.caller()?;
    let id = path_id(&id, ORDER)?;
    let stream = StreamId::new(&caller.tenant, ORDER, id);
    let (mut order, mut meta) = find(&state, &caller, &stream).await?;
    let if_match = IfMatch::read(&incoming.headers)?;
    let (issue, NoBody) = incoming.read(&state, Key::Optional).await?;
    let mut tries = MOVES;
    let accepted = loop {
        let parts = Parts::read(&state, &caller.tenant, id, &order).await?;
        let tag = parts.tag(meta.version).to_string();
        let refused: Option<Problem> = if parts.have_left() {
            Some(Refusal::from(OrderError::TooLateToCancel(OrderStatus::Shipped)).into())
        } else {
            if_match.as_ref().filter(|tags| !tags.allows(&tag)).map(|_| stale(&tag))
        };
        if let Some(refused) = refused {
            // The stored answer, if it was another state when this was asked for first.
            break issue.repeat_or(&state, stream.shard(state.gateway.shards()), refused).await?;
        }
        tries -= 1;
        let step = Step {
            // The parts were read beside this version of the order. One that moves on and on is taken as it is, unless asked for.
            expected_version: (tries > 0 || if_match.is_some()).then_some(meta.version),
            ..Step::new(stream.clone(), OrderCommand::RequestCancellation)
        };
        match issue.submit_beside(&state, vec![step], Some(parts.beside())).await {
            Err(moved) if moved.status == StatusCode::PRECONDITION_FAILED.as_u16() && tries > 0 => {
                (order, meta) = find(&state, &caller, &stream).await?;
            }
            answered => break answered?,
        }
    };
    Ok(Reply::of(StatusCode::ACCEPTED, &accepted)?.tagged_by(order_parts::take_tag))
}

/// The order, if the caller may cancel it. Somebody else's is answered like none at all, so that ids can't be probed.
async fn find(
    state: &CommandState,
    caller: &Caller,
    stream: &StreamId,
) -> Result<(Order, StreamMeta), Problem> {
    let sees_all = caller.has_any(&[Role::Admin, Role::Support]);
    let found = state.read::<Order>(stream).await?.filter(|(order, _)| {
        order.placed.as_ref().is_some_and(|placed| sees_all || placed.customer_id == caller.user_id)
    });
    found.ok_or_else(|| Problem::not_found(ORDER))
}

/// Asks to cancel an order (alias of `POST /api/v1/orders/{id}/cancel`).
#[utoipa::path(
    delete, path = "/api/v1/orders/{id}", operation_id = "cancel_order_by_delete", tag = "orders",
    params(("id" = Uuid, Path, description = "The order."), OptionalKey, OptionalMatch),
    responses(
        (status = 202, description = "The order; the cancellation is under way.", body = OrderView, headers(
            ("ETag" = String, description = "Opaque; covers the order, its payment and its shipment."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn cancel_by_delete(
    state: State<CommandState>,
    id: Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    cancel(state, id, incoming).await
}
