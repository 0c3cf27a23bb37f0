//! Inventory: stating what is on hand.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::command::Step;
use domain::identity::user::Role;
use domain::inventory::{InventoryCommand, MAIN_WAREHOUSE, MAX_ON_HAND, StockView};
use domain::stream::StreamId;
use domain::text::identifier;
use utoipa_axum::routes;

use crate::catalogue::products;
use crate::web::body::{integer, line};
use crate::web::issue::{Incoming, Key, Reply};
use crate::web::openapi::{ById, Conflicting, OptionalKey, Usual, WithBody};
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;

/// The longest name of a warehouse, in characters.
const MAX_WAREHOUSE: usize = 64;

crate::body! {
    /// What is on hand.
    struct StockInput {
        /// Pieces there, reserved ones included.
        on_hand: u64 = integer(0..=MAX_ON_HAND),
        /// The warehouse, in any spelling of the identifier; `main` when none is named.
        warehouse: String =
            line(1..=MAX_WAREHOUSE).then(|typed| identifier::normal(&typed)).or(MAIN_WAREHOUSE),
    }
}

pub(crate) fn routes() -> Routes<CommandState> {
    Routes::default().roles(&[Role::Admin, Role::Warehouse], routes!(set_stock))
}

/// States what is on hand of a product in a warehouse.
#[utoipa::path(
    put, path = "/api/v1/products/{id}/inventory", operation_id = "set_stock", tag = "inventory",
    params(("id" = uuid::Uuid, Path, description = "The product."), OptionalKey),
    request_body = StockInput,
    responses(
        (status = 200, description = "The warehouse's level as it is now.", body = StockView, headers(
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting,
    ),
)]
async fn set_stock(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let product = products::existing(&state, &incoming.caller()?, &id).await?.stream;
    let (issue, StockInput { on_hand, warehouse }) = incoming.read(&state, Key::Optional).await?;
    let stream = StreamId::new(product.tenant(), "inventory", product.id());
    let step = Step::new(stream, InventoryCommand::SetStock { warehouse, on_hand });
    let accepted = issue.submit(&state, vec![step]).await?;
    Reply::of(StatusCode::OK, &accepted)
}
