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
use utoipa_axum::routes;

use crate::catalogue::skus;
use crate::reviews::shown::{RatedProduct, rated, rating_of};
use crate::web::body::{identifier, line, money, prose, texts};
use crate::web::caller::Caller;
use crate::web::issue::{Incoming, Key, Reply, answer_of, path_id};
use crate::web::openapi::{ById, Conflicting, OptionalKey, RequiredMatch, Usual, Versioned, WithBody};
use crate::web::preconditions::IfMatch;
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;

/// The stream type.
pub(crate) const PRODUCT: &str = "product";

crate::body! {
    /// A product's whole description.
    struct ProductInput {
        /// The merchant's own article number: an identifier, unique in the tenant among products that are not discontinued.
        sku: String = identifier(MAX_SKU),
        /// The name shown to customers.
        name: String = line(1..=MAX_NAME),
        /// Free text.
        description: String = prose(0..=MAX_DESCRIPTION),
        /// The category that search facets count: an identifier, so that all its spellings are one.
        category: String = identifier(MAX_CATEGORY),
        /// The price of one; above nothing.
        price: Money = money(),
        /// Further properties, by name; at most 50. The names are identifiers.
        attributes: BTreeMap<String, String> = texts(MAX_ATTRIBUTES, MAX_ATTRIBUTE_NAME, MAX_ATTRIBUTE_VALUE),
    }
}

impl From<ProductInput> for (ProductDetails, Money) {
    fn from(ProductInput { sku, name, description, category, price, attributes }: ProductInput) -> Self {
        (ProductDetails { sku, name, description, category, attributes }, price)
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
    let (issue, input) = incoming.read::<ProductInput>(&state, Key::Optional).await?;
    let (details, price) = input.into();
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
    let (issue, input) = incoming.read::<ProductInput>(&state, Key::Optional).await?;
    let (details, price) = input.into();
    let rating = rating_of(&state, &issue.tenant, path_id(&id, PRODUCT)?).await?;
    let command = ProductCommand::Update { details, price };
    let accepted = skus::update(&state, &issue, &product.stream, &expected, command).await?;
    rated(StatusCode::OK, &accepted, rating)
}
