//! Availability: the stock of many products in one call.

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::web::caller::Caller;
use command_api::web::openapi::Usual;
use command_api::web::problem::Problem;
use domain::inventory::Availability;
use domain::stream::StreamId;
use domain::uuids::any_spelling;
use projections::inventory::{self, ReadStock as _, StockRow};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::web::ask::{Ask, not_parked};
use crate::web::docs::SyncParam;
use crate::web::failed::Failed;
use crate::web::reply::ok;
use crate::web::state::QueryState;

/// The most products of one call.
const MAX_PRODUCTS: usize = 100;

/// What was asked for, in the order of asking.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Availabilities {
    /// One per product.
    items: Vec<Availability>,
}

/// The stock of up to 100 products over all warehouses, in the order asked for; a product without stock, or an unknown one,
/// has zeros.
#[utoipa::path(
    get,
    path = "/api/v1/inventory/availability",
    operation_id = "get_availability",
    tag = "inventory",
    summary = "Get the availability of products",
    params(
        ("product_id" = Vec<Uuid>, Query, description = "a product; repeat it for more, up to 100", explode, min_items = 1, max_items = 100),
        SyncParam,
    ),
    responses((status = 200, description = "One item per product", body = Availabilities), Usual),
    security(())
)]
pub(crate) async fn availability(
    State(state): State<QueryState>,
    caller: Option<Caller>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let ask = Ask::read_repeated(&state, &headers, raw.as_deref(), &[], &["product_id"])?;
    let products = ask.params.all("product_id").map(any_spelling).collect::<Option<Vec<_>>>();
    let products = products.ok_or_else(|| Problem::bad_parameter("product_id", "not a UUID"))?;
    if products.is_empty() || products.len() > MAX_PRODUCTS {
        let detail = format!("give it 1 to {MAX_PRODUCTS} times");
        return Err(Problem::bad_parameter("product_id", detail).into());
    }
    let read = ask.settle(&state, &[inventory::NAME]).await?;
    let tenant = Caller::tenant_of(caller.as_ref());
    for product in &products {
        not_parked(&state, inventory::NAME, &StreamId::new(tenant, "inventory", product)).await?;
    }
    let stock = read.stock(tenant, &products).await?;
    ok(&Availabilities { items: totals(&products, &stock) })
}

/// The sums over warehouses, in the order of the products; a product that is asked for twice is listed twice.
fn totals(products: &[Uuid], stock: &[StockRow]) -> Vec<Availability> {
    let mut sums: HashMap<Uuid, (u64, u64)> = HashMap::new();
    for row in stock {
        let (on_hand, reserved) = sums.entry(row.product_id).or_default();
        *on_hand += row.on_hand;
        *reserved += row.reserved;
    }
    let total = |product_id: &Uuid| {
        let (on_hand, reserved) = sums.get(product_id).copied().unwrap_or_default();
        Availability {
            product_id: *product_id,
            on_hand,
            reserved,
            available: on_hand.saturating_sub(reserved),
        }
    };
    products.iter().map(total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: INV-3
    #[test]
    fn warehouses_are_summed_in_the_order_asked() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let row = |product_id, warehouse: &str, on_hand, reserved| StockRow {
            product_id,
            warehouse: warehouse.into(),
            on_hand,
            reserved,
        };
        let stock = [row(a, "main", 5, 2), row(b, "main", 1, 1), row(a, "north", 10, 0)];
        let item = |product_id, on_hand, reserved, available| Availability {
            product_id,
            on_hand,
            reserved,
            available,
        };
        assert_eq!(
            totals(&[b, c, a, b], &stock),
            [item(b, 1, 1, 0), item(c, 0, 0, 0), item(a, 15, 2, 13), item(b, 1, 1, 0)]
        );
    }
}
