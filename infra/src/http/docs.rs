//! The OpenAPI document, and the page that shows it without any outside resource.

use axum::Json;
use axum::Router;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Server, tag::TagBuilder};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Where the document is.
pub const DOCUMENT: &str = "/api/v1/openapi.json";

const TAGS: [(&str, &str); 10] = [
    ("users", "Sign-up and one's own profile"),
    ("auth", "Logging in and out"),
    ("products", "The catalogue and its search"),
    ("inventory", "Stock"),
    ("orders", "Orders, from pending to completed"),
    ("payments", "Payments and refunds"),
    ("shipments", "Shipments"),
    ("audit", "The event history, for auditors"),
    ("simulator", "What the built-in payment provider has charged"),
    ("health", "Health of the server"),
];

/// The frame of the document, which the routers add their operations to.
pub(crate) fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Tillstream")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("openapi.md")))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let tags =
        TAGS.map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build());
    let mut document =
        OpenApiBuilder::new().info(info).servers(Some([Server::new("/")])).tags(Some(tags)).build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The `access_token` of a login, valid for 15 minutes"))
        .build();
    document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}

/// The document's own route and the page at `/docs`.
pub(crate) fn routes(document: &OpenApi) -> Router {
    let served = document.clone();
    // No validator: it would send the document's address to somebody else.
    let config =
        Config::from(DOCUMENT).validator_url("none").persist_authorization(true).try_it_out_enabled(true);
    Router::new()
        .merge(SwaggerUi::new("/docs").config(config))
        .route(DOCUMENT, get(async move || Json(served.clone())))
}
