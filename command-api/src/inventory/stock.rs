//! Inventory: stating what is on hand.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::command::Step;
use domain::identity::user::Role;
use domain::inventory::{InventoryCommand, MAIN_WAREHOUSE, MAX_ON_HAND};
use domain::stream::StreamId;
use domain::text::identifier;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::catalogue::products;
use crate::inventory::shown;
use crate::web::body::{Fields, FromBody, Text};
use crate::web::issue::{Incoming, Key, Reply};
use crate::web::openapi::{ById, Conflicting, OptionalKey, Usual, WithBody};
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;

/// The longest name of a warehouse, in characters.
const MAX_WAREHOUSE: usize = 64;

/// What is on hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StockInput {
    /// Pieces there, reserved ones included.
    #[schema(maximum = 1_000_000_000)]
    on_hand: u64,
    /// The warehouse, in any spelling of the identifier; `main` when none is named.
    #[schema(required = false, min_length = 1, max_length = 64, default = "main")]
    warehouse: String,
}

impl FromBody for StockInput {
    fn from_fields(fields: &mut Fields<'_>) -> Option<Self> {
        let on_hand = fields.integer("on_hand", 0..=MAX_ON_HAND);
        let warehouse = fields.text_or("warehouse", Text::Line, 1..=MAX_WAREHOUSE, MAIN_WAREHOUSE);
        let warehouse = warehouse.and_then(|typed| match identifier::normal(&typed) {
            Ok(normal) => Some(normal),
            Err(error) => {
                fields.fault("warehouse", error.to_string());
                None
            }
        });
        Some(Self { on_hand: on_hand?, warehouse: warehouse? })
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
        (status = 200, description = "The warehouse's level as it is now.", body = shown::Stock, headers(
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
