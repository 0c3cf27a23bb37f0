//! Orders: placing and cancelling.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::command::Step;
use domain::refusal::Refusal;
use domain::shop::order::{
    MAX_LINES, MAX_QUANTITY, Order, OrderCommand, OrderError, OrderStatus, RequestedLine, ShippingAddress,
};
use domain::shop::product::Product;
use domain::shop::shipment::{Shipment, ShipmentStatus};
use domain::shop::user::Role;
use domain::stream::StreamId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::access::Caller;
use super::body::NoBody;
use super::issue::{Incoming, Key, Reply, path_id};
use super::openapi::{ById, Conflicting, LoggedIn, OptionalKey, RequiredKey, Usual, WithBody};
use super::order_input::{Address, Item, OrderInput, PlaceOrder};
use super::problem::{FieldError, Problem};
use super::products::PRODUCT;
use super::schema;
use super::state::CommandState;

const ORDER: &str = "order";
const _: () = assert!(MAX_LINES == 100 && MAX_QUANTITY == 1_000_000, "as the OpenAPI document says");

pub(super) fn router() -> OpenApiRouter<CommandState> {
    OpenApiRouter::new().routes(routes!(place)).routes(routes!(cancel)).routes(routes!(cancel_by_delete))
}

/// Places an order; the fulfilment saga goes on from there.
#[utoipa::path(
    post, path = "/api/v1/orders", operation_id = "placeOrder", tag = "orders",
    params(RequiredKey), request_body = OrderInput, security(("bearer" = [])),
    responses(
        (status = 201, description = "The order, `pending`.", body = schema::Order, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
            ("Idempotency-Replayed" = String, description = "`true` when this is the stored answer of a repeat."),
        )),
        Usual, WithBody, LoggedIn, Conflicting,
    ),
)]
async fn place(State(state): State<CommandState>, incoming: Incoming) -> Result<Reply, Problem> {
    let caller = incoming.caller()?;
    let (issue, order) = incoming.read::<PlaceOrder>(&state, Key::Required).await?;
    let shards = state.gateway.shards();
    let accepted = match price(&state, &caller, &order.items).await? {
        Ok(lines) => {
            let place = OrderCommand::Place {
                customer_id: caller.user_id,
                lines,
                payment_method: order.payment_method,
                shipping_address: seal(&state, &caller, order.shipping_address).await?,
            };
            let (_, stream) = issue.draw(ORDER, shards);
            issue.submit(&state, vec![Step::create(stream, place)]).await?
        }
        // The catalogue may have changed since the first time, and a repeat still gets its answer.
        Err(refused) => issue.repeat_or(&state, issue.shard(shards), refused).await?,
    };
    Ok(Reply::of(StatusCode::CREATED, &accepted)?.tagged().within("/api/v1/orders"))
}

/// Joins the items with their products as the owners know them; the inner error names every item that can't be ordered.
async fn price(
    state: &CommandState,
    caller: &Caller,
    items: &[Item],
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

async fn seal(state: &CommandState, caller: &Caller, address: Address) -> Result<ShippingAddress, Problem> {
    let Address { name, line1, city, postal_code, country } = address;
    let sealed = state.keys.seal(&caller.stream(), &[&name, &line1, &city, &postal_code]).await?;
    let Ok([name, line1, city, postal_code]) = <[_; 4]>::try_from(sealed) else {
        tracing::error!("the key store sealed another number of values than asked");
        return Err(Problem::internal());
    };
    Ok(ShippingAddress { name, line1, city, postal_code, country })
}

/// Asks to cancel an order; the saga undoes what was done. Until dispatch a cancel refunds and restocks.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/cancel", operation_id = "cancelOrder", tag = "orders",
    params(("id" = Uuid, Path, description = "The order."), OptionalKey), security(("bearer" = [])),
    responses(
        (status = 202, description = "The order; the cancellation is under way.", body = schema::Order, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, LoggedIn, ById, Conflicting,
    ),
)]
async fn cancel(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let caller = incoming.caller()?;
    let stream = StreamId::new(&caller.tenant, ORDER, path_id(&id, ORDER)?);
    let order = state.read::<Order>(&stream).await?.map(|(order, _)| order).unwrap_or_default();
    let may = |customer: Uuid| customer == caller.user_id || caller.has_any(&[Role::Admin, Role::Support]);
    // Somebody else's order is answered like none at all, so that ids can't be probed.
    if !order.placed.is_some_and(|placed| may(placed.customer_id)) {
        return Err(Problem::not_found(ORDER));
    }
    let (issue, NoBody) = incoming.read(&state, Key::Optional).await?;
    let accepted = if has_left(&state, &caller, order.shipment_id).await? {
        let late = Refusal::from(OrderError::TooLateToCancel(OrderStatus::Shipped));
        // The stored answer, if it had not left when this was asked for first.
        issue.repeat_or(&state, stream.shard(state.gateway.shards()), late.into()).await?
    } else {
        issue.submit(&state, vec![Step::new(stream, OrderCommand::RequestCancellation)]).await?
    };
    Ok(Reply::of(StatusCode::ACCEPTED, &accepted)?.tagged())
}

/// Whether the shipment has left the warehouse, which the saga tells the order a moment later.
async fn has_left(state: &CommandState, caller: &Caller, shipment: Option<Uuid>) -> Result<bool, Problem> {
    let Some(id) = shipment else { return Ok(false) };
    let shipment = state.read::<Shipment>(&StreamId::new(&caller.tenant, "shipment", id)).await?;
    let left = |status| matches!(status, ShipmentStatus::Dispatched | ShipmentStatus::Delivered);
    Ok(shipment.is_some_and(|(shipment, _)| left(shipment.status)))
}

/// Asks to cancel an order (alias of `POST /api/v1/orders/{id}/cancel`).
#[utoipa::path(
    delete, path = "/api/v1/orders/{id}", operation_id = "cancelOrderByDelete", tag = "orders",
    params(("id" = Uuid, Path, description = "The order."), OptionalKey), security(("bearer" = [])),
    responses(
        (status = 202, description = "The order; the cancellation is under way.", body = schema::Order, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, LoggedIn, ById, Conflicting,
    ),
)]
async fn cancel_by_delete(
    state: State<CommandState>,
    id: Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    cancel(state, id, incoming).await
}
