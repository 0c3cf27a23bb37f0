//! Orders: one by id, and the list of one's own.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::ordering::order_tag::OrderTag;
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::problem::Problem;
use domain::identity::user::Role;
use domain::ordering::order::{OrderStatus, OrderView};
use domain::stream::StreamId;
use projections::ordering::orders::{self, OrderFilter, ReadOrders as _};

use crate::web::ask::{Ask, not_parked};
use crate::web::cursor::Scope;
use crate::web::docs::{ConditionalParam, PageParams, SyncParam};
use crate::web::failed::Failed;
use crate::web::params::path_id;
use crate::web::reply::{ListOf, ok, tagged};
use crate::web::state::QueryState;

/// An order, with its payment and shipment so far. Somebody else's is not found, but for admin and support.
#[utoipa::path(
    get,
    path = "/api/v1/orders/{id}",
    operation_id = "get_order",
    tag = "orders",
    summary = "Get an order",
    params(("id" = Uuid, Path, description = "the order's id"), SyncParam, ConditionalParam),
    responses(
        (status = 200, description = "The order", body = OrderView, headers(("ETag" = String, description = "opaque; covers the order, its payment and its shipment"))),
        (status = 304, description = "The client has the order as it is"),
        Usual, ById,
    )
)]
pub(crate) async fn get_order(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = path_id(&id, "order")?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let read = ask.settle(&state, &[orders::NAME]).await?;
    let stream = |kind: &str, id| StreamId::new(&caller.tenant, kind, id);
    let Some(order) = read.order(&caller.tenant, id).await? else {
        not_parked(&state, orders::NAME, &stream("order", id)).await?;
        return Err(Problem::not_found("order").into());
    };
    let sees_all = caller.has_any(&[Role::Admin, Role::Support]);
    if order.customer_id != caller.user_id && !sees_all {
        return Err(Problem::not_found("order").into());
    }
    not_parked(&state, orders::NAME, &stream("order", id)).await?;
    // The payment's and the shipment's status come from streams of their own.
    let payment = order.payment.as_ref().map(|payment| stream("payment", payment.id));
    let shipment = order.shipment.as_ref().map(|shipment| stream("shipment", shipment.id));
    for part in [payment, shipment].iter().flatten() {
        not_parked(&state, orders::NAME, part).await?;
    }
    let tag =
        OrderTag { order: order.version, payment: order.payment_version, shipment: order.shipment_version };
    tagged(&ask, &tag, &order)
}

/// One's own orders in order of placing; an admin sees everybody's.
#[utoipa::path(
    get,
    path = "/api/v1/orders",
    operation_id = "list_orders",
    tag = "orders",
    summary = "List orders",
    params(
        ("status" = Option<OrderStatus>, Query, description = "only orders with this status"),
        PageParams,
        SyncParam,
    ),
    responses((status = 200, description = "A page of orders", body = ListOf<OrderView>), Usual)
)]
pub(crate) async fn list_orders(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let ask = Ask::read(&state, &headers, raw.as_deref(), &["status", "limit", "cursor"])?;
    let statuses = OrderStatus::ALL.map(|status| (status.as_str(), status));
    let status = ask.params.choice("status", &statuses)?;
    let user = caller.user_id.to_string();
    let all = caller.has_any(&[Role::Admin]);
    // Whose orders are listed is part of the scope: a token with other roles begins anew.
    let operation = if all { "list_orders/all" } else { "list_orders/own" };
    let scope =
        Scope { operation, tenant: &caller.tenant, caller: Some(&user), filters: ask.params.filters() };
    let page = ask.page(&state, &scope)?;
    let read = ask.settle(&state, &[orders::NAME]).await?;
    let filter = OrderFilter { customer_id: (!all).then_some(caller.user_id), status };
    let listed = read.orders(&caller.tenant, &filter, &page).await?;
    ok(&ListOf::new(&state, &scope, listed.items, listed.next.as_deref()))
}
