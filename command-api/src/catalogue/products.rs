//! Products: the catalogue's commands.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::aggregate::StreamMeta;
use domain::catalogue::product::{
    MAX_ATTRIBUTE_NAME, MAX_ATTRIBUTE_VALUE, MAX_ATTRIBUTES, MAX_CATEGORY, MAX_DESCRIPTION, MAX_NAME,
    MAX_SKU, Product, ProductCommand, ProductDetails,
};
use domain::identity::user::Role;
use domain::money::Money;
use domain::reviews::rating::ProductRating;
use domain::stream::StreamId;
use domain::uuids::any_spelling;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::catalogue::skus;
use crate::reviews::shown::{RatedProduct, rated, rating_of};
use crate::web::body::{Fields, FromBody, Text};
use crate::web::caller::Caller;
use crate::web::issue::{Incoming, Key, Reply, answer_of, path_id};
use crate::web::openapi::{ById, Conflicting, OptionalKey, RequiredMatch, Usual, Versioned, WithBody};
use crate::web::preconditions::IfMatch;
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;

/// The stream type.
pub(crate) const PRODUCT: &str = "product";

/// A product's whole description.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "the fields are for the OpenAPI document; the content is read from the same names"
)]
struct ProductInput {
    /// The merchant's own article number: an identifier, unique in the tenant among products that are not discontinued.
    #[schema(min_length = 1, max_length = 64)]
    sku: String,
    /// The name shown to customers.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Free text.
    #[schema(max_length = 10_000)]
    description: String,
    /// The category that search facets count: an identifier, so that all its spellings are one.
    #[schema(min_length = 1, max_length = 100)]
    category: String,
    /// The price of one; above nothing.
    price: Money,
    /// Further properties, by name; at most 50. The names are identifiers.
    #[schema(required = false)]
    attributes: BTreeMap<String, String>,
}

struct Content {
    details: ProductDetails,
    price: Money,
}

impl FromBody for Content {
    fn from_fields(fields: &mut Fields<'_>) -> Option<Self> {
        let sku = fields.identifier("sku", 1..=MAX_SKU);
        let name = fields.text("name", Text::Line, 1..=MAX_NAME);
        let description = fields.text("description", Text::Prose, 0..=MAX_DESCRIPTION);
        let category = fields.identifier("category", 1..=MAX_CATEGORY);
        let price = fields.money("price");
        let attributes = fields.texts("attributes", MAX_ATTRIBUTES, MAX_ATTRIBUTE_NAME, MAX_ATTRIBUTE_VALUE);
        Some(Self {
            details: ProductDetails {
                sku: sku?,
                name: name?,
                description: description?,
                category: category?,
                attributes: attributes?,
            },
            price: price?,
        })
    }
}

pub(crate) fn routes() -> Routes<CommandState> {
    Routes::default().roles(&[Role::Admin], routes!(create)).roles(&[Role::Admin], routes!(update))
}

/// What the log knows of a product that exists.
pub(crate) async fn existing(state: &CommandState, caller: &Caller, id: &str) -> Result<StreamMeta, Problem> {
    let stream = StreamId::new(&caller.tenant, PRODUCT, path_id(id, PRODUCT)?);
    let found = state.read::<Product>(&stream).await?;
    found.map(|(_, meta)| meta).ok_or_else(|| Problem::not_found(PRODUCT))
}

/// Adds a product to the catalogue.
#[utoipa::path(
    post, path = "/api/v1/products", operation_id = "create_product", tag = "products",
    params(OptionalKey), request_body = ProductInput,
    responses(
        (status = 201, description = "The product.", body = RatedProduct, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "Opaque; covers the product and its rating."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, Conflicting,
    ),
)]
async fn create(State(state): State<CommandState>, incoming: Incoming) -> Result<Reply, Problem> {
    let (issue, Content { details, price }) = incoming.read(&state, Key::Optional).await?;
    let accepted = skus::create(&state, &issue, details, price).await?;
    // A product that has just been made has no reviews.
    let repeated =
        if accepted.repeated { answer_of(&accepted)?["id"].as_str().and_then(any_spelling) } else { None };
    let rating = match repeated {
        Some(id) => rating_of(&state, &issue.tenant, id).await?,
        None => ProductRating::default(),
    };
    Ok(rated(StatusCode::CREATED, &accepted, rating)?.within("/api/v1/products"))
}

/// Replaces a product's description and price.
#[utoipa::path(
    put, path = "/api/v1/products/{id}", operation_id = "update_product", tag = "products",
    params(("id" = uuid::Uuid, Path, description = "The product."), OptionalKey, RequiredMatch),
    request_body = ProductInput,
    responses(
        (status = 200, description = "The product as it is now.", body = RatedProduct, headers(
            ("ETag" = String, description = "Opaque; covers the product and its rating."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Versioned,
    ),
)]
async fn update(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let product = existing(&state, &incoming.caller()?, &id).await?;
    let expected = IfMatch::required(&incoming.headers)?.by_version();
    let (issue, Content { details, price }) = incoming.read(&state, Key::Optional).await?;
    let rating = rating_of(&state, &issue.tenant, path_id(&id, PRODUCT)?).await?;
    let command = ProductCommand::Update { details, price };
    let accepted = skus::update(&state, &issue, &product.stream, &expected, command).await?;
    rated(StatusCode::OK, &accepted, rating)
}
