//! The OpenAPI document, and the page that shows it without any outside resource.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Server, tag::TagBuilder};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Where the document is.
pub const DOCUMENT: &str = "/api/v1/openapi.json";

const TAGS: [(&str, &str); 11] = [
    ("users", "Sign-up and one's own profile"),
    ("auth", "Logging in and out"),
    ("products", "The catalogue and its search"),
    ("inventory", "Stock"),
    ("orders", "Orders, from pending to completed"),
    ("payments", "Payments and refunds"),
    ("shipments", "Shipments"),
    ("audit", "The event history, for auditors"),
    ("operations", "Orders whose fulfilment doesn't go on by itself"),
    ("simulator", "What the built-in payment provider has charged, and how it and the carrier are"),
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

/// The document's own route and the page at `/docs`. The document is written once: it is open to everybody, so asking for it must
/// cost no more than a file does.
pub(crate) fn routes(document: &OpenApi) -> serde_json::Result<Router> {
    let served = Bytes::from(serde_json::to_vec(document)?);
    // No validator: it would send the document's address to somebody else. And a token that was typed in goes with the page: kept
    // in the browser's storage, whoever sits down next has it.
    let config =
        Config::from(DOCUMENT).validator_url("none").persist_authorization(false).try_it_out_enabled(true);
    let answer = async move || ([(header::CONTENT_TYPE, "application/json")], served.clone());
    Ok(Router::new().merge(SwaggerUi::new("/docs").config(config)).route(DOCUMENT, get(answer)))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    // proves: SEC-10, OPS-5
    #[tokio::test]
    async fn the_document_is_written_once_for_all_requests() {
        let routes =
            routes(&crate::http::openapi(&crate::shop::application(&crate::config::Config::default())))
                .unwrap();
        let ask = async || {
            let request = Request::get(DOCUMENT).body(Body::empty()).unwrap();
            let response = routes.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
            to_bytes(response.into_body(), usize::MAX).await.unwrap()
        };
        let (first, second) = (ask().await, ask().await);
        assert_eq!(first.as_ptr(), second.as_ptr(), "the very same bytes");
        assert!(serde_json::from_slice::<serde_json::Value>(&first).unwrap()["paths"].is_object());
    }

    // proves: SEC-10
    #[tokio::test]
    async fn the_page_keeps_no_token_in_the_browser() {
        let routes =
            routes(&crate::http::openapi(&crate::shop::application(&crate::config::Config::default())))
                .unwrap();
        let request = Request::get("/docs/swagger-initializer.js").body(Body::empty()).unwrap();
        let script = to_bytes(routes.oneshot(request).await.unwrap().into_body(), usize::MAX).await.unwrap();
        let script = String::from_utf8(script.to_vec()).unwrap();
        assert!(script.contains(DOCUMENT) && !script.contains("localStorage"), "{script}");
        assert!(script.contains("\"persistAuthorization\": false"), "{script}");
    }
}
