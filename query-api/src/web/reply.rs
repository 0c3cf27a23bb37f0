//! Answers: one resource with its tag, or a page of a list.

use std::fmt::Display;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use command_api::web::headers::etag;
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::ask::Ask;
use crate::web::cursor::Scope;
use crate::web::failed::Failed;
use crate::web::state::QueryState;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListOf<T> {
    /// The rows, in the list's stable order.
    pub items: Vec<T>,
    /// `cursor` of the next page; null at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl<T> ListOf<T> {
    /// A page whose successor starts at `next`.
    pub fn new(state: &QueryState, scope: &Scope<'_>, items: Vec<T>, next: Option<&str>) -> Self {
        Self { items, next_cursor: next.map(|place| state.config.cursors.seal(scope, place)) }
    }
}

/// 200 with a body. Serialises here, so that a failure is a problem like any other.
pub fn ok(body: &impl Serialize) -> Result<Response, Failed> {
    let bytes = serde_json::to_vec(body)?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(bytes))
        .into_response())
}

/// 200 with body and `ETag`, or 304 when the client has what the tag names. The tag must change whenever the body does.
pub fn tagged(ask: &Ask, tag: &impl Display, body: &impl Serialize) -> Result<Response, Failed> {
    let unchanged = ask.if_none_match.as_ref().is_some_and(|tags| tags.has(&tag.to_string()));
    let mut response = if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { ok(body)? };
    response.headers_mut().insert(header::ETAG, etag(tag));
    Ok(response)
}
