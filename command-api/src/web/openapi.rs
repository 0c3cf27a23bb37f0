//! What operations have in common in the OpenAPI document: problems, the headers of commands, the security scheme.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{IntoParams, IntoResponses, PartialSchema};

use crate::web::problem::{FieldError, Problem};

/// The name of the security scheme that operations refer to.
pub const BEARER: &str = "bearer";

/// A document with the components that every operation refers to, and no operation yet.
#[must_use]
pub fn base() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("an access token of POST /api/v1/auth/login; valid for 15 minutes"))
        .build();
    let components = ComponentsBuilder::new()
        .schema("Problem", Problem::schema())
        .schema("FieldError", FieldError::schema())
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .build();
    OpenApiBuilder::new().components(Some(components)).build()
}

fn problem(description: &str, headers: &[(&str, &str)]) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let mut response =
        ResponseBuilder::new().description(description).content("application/problem+json", content);
    for (name, description) in headers {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        response = response
            .header(*name, HeaderBuilder::new().schema(Some(text)).description(Some(*description)).build());
    }
    response.build().into()
}

/// Problems of every operation.
pub struct Usual;

impl IntoResponses for Usual {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let retry = [("Retry-After", "seconds until a repeat makes sense")];
        BTreeMap::from([
            ("400".into(), problem("A header, parameter or body is malformed.", &[])),
            ("406".into(), problem("`Accept` excludes JSON.", &[])),
            ("500".into(), problem("An internal error; it has been logged.", &[])),
            (
                "503".into(),
                problem(
                    "Can't answer now. The type is `overloaded` (nothing was done), `outcome-unknown` (with `command_id`; safe to \
                     repeat), `stale` (the Sync-Token's wait ran out) or `stream-parked`.",
                    &retry,
                ),
            ),
        ])
    }
}

/// Problems of operations that take a body.
pub struct WithBody;

impl IntoResponses for WithBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([
            ("408".into(), problem("The body came too slowly.", &[])),
            ("413".into(), problem("The body is larger than 1 MiB.", &[])),
            ("415".into(), problem("The body is not JSON.", &[])),
            (
                "422".into(),
                problem("The content breaks a rule, or the idempotency key had another body.", &[]),
            ),
        ])
    }
}

/// Problems of operations that need a login.
pub struct LoggedIn;

impl IntoResponses for LoggedIn {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let challenge = [("WWW-Authenticate", "`Bearer`")];
        BTreeMap::from([("401".into(), problem("No valid access token, or wrong credentials.", &challenge))])
    }
}

/// Problems of operations that need a role.
pub struct ByRole;

impl IntoResponses for ByRole {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = LoggedIn::responses();
        responses.insert("403".into(), problem("The caller's roles don't allow it.", &[]));
        responses
    }
}

/// Problems of operations on one thing.
pub struct ById;

impl IntoResponses for ById {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("404".into(), problem("There is no such thing, or it is somebody else's.", &[]))])
    }
}

/// Problems of commands.
pub struct Conflicting;

impl IntoResponses for Conflicting {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let retry = [("Retry-After", "for `in-flight`: seconds until a repeat makes sense")];
        BTreeMap::from([(
            "409".into(),
            problem("The state doesn't allow it, or the same command is in flight.", &retry),
        )])
    }
}

/// Problems of updates under `If-Match`.
pub struct Versioned;

impl IntoResponses for Versioned {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([
            ("412".into(), problem("The thing has another version by now.", &[])),
            ("428".into(), problem("`If-Match` is missing.", &[])),
        ])
    }
}

/// Problems of commands that may come under `If-Match`.
pub struct Matching;

impl IntoResponses for Matching {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("412".into(), problem("`If-Match` names none of the thing's tags of now.", &[]))])
    }
}

/// The key of a command that may go without.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct OptionalKey {
    /// Makes the command repeatable: under the same key it is done once, and a repeat gets the first answer.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[ -~]+$")]
    pub key: Option<String>,
}

/// The key of a command that must have one.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct RequiredKey {
    /// Makes the command repeatable: under the same key it is done once, and a repeat gets the first answer.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[ -~]+$")]
    pub key: String,
}

/// The version of an update.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct RequiredMatch {
    /// The `ETag` of what is updated, a list of several, or `*`.
    #[param(rename = "If-Match", example = "\"1\"")]
    pub etag: String,
}

/// The version that a command may be bound to.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct OptionalMatch {
    /// The `ETag` that the thing must have, a list of several, or `*`.
    #[param(rename = "If-Match", example = "\"1\"")]
    pub etag: Option<String>,
}
