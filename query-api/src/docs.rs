//! The parts of the OpenAPI document that many queries share.

use command_api::http::problem::Problem;
use utoipa::{IntoParams, IntoResponses};
use uuid::Uuid;

/// The header of every query.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents parameters that are read from the raw request")]
pub(crate) struct SyncParam {
    /// Positions that the answer must have seen, `shard:n[,shard:n…]`: what a command answered. The query waits for them,
    /// bounded, else answers 503 `stale`.
    #[param(
        rename = "Sync-Token",
        required = false,
        example = "3:1042",
        pattern = "^ *[0-9]+:[0-9]+ *( *, *[0-9]+:[0-9]+ *)*$"
    )]
    sync_token: Option<String>,
}

/// The header of queries by id.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents parameters that are read from the raw request")]
pub(crate) struct ConditionalParam {
    /// Entity tags that the client has, or `*`: 304 when the resource's is among them.
    #[param(rename = "If-None-Match", required = false, example = "\"7\"")]
    if_none_match: Option<String>,
}

/// The parameters of every list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents parameters that are read from the raw request")]
pub(crate) struct PageParams {
    /// How many items at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; the other parameters must stay the same.
    cursor: Option<String>,
}

/// The id in the path of a query by id.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents parameters that are read from the raw request")]
pub(crate) struct IdParam {
    /// The resource's id.
    id: Uuid,
}

/// The problems of a query that anybody may ask.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents answers that are made as problems")]
pub(crate) enum PublicProblems {
    /// A parameter, cursor, Sync-Token or other header is malformed or unknown.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// There is no such thing.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The client accepts no JSON.
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// The server is at fault.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// Repeat after `Retry-After`: `stale`, `stream-parked`, `overloaded`, `unavailable`.
    #[response(
        status = 503,
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "seconds to wait before repeating"))
    )]
    Unavailable(Problem),
}

/// The problems of a query that needs a login.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents answers that are made as problems")]
pub(crate) enum Problems {
    /// A parameter, cursor, Sync-Token or other header is malformed or unknown.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// The access token is missing, expired or not one of ours.
    #[response(
        status = 401,
        content_type = "application/problem+json",
        headers(("WWW-Authenticate" = String, description = "how to authenticate: Bearer"))
    )]
    Unauthorized(Problem),
    /// The caller's roles don't allow it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such thing, or it is somebody else's.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The client accepts no JSON.
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// The server is at fault.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// Repeat after `Retry-After`: `stale`, `stream-parked`, `overloaded`, `unavailable`.
    #[response(
        status = 503,
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "seconds to wait before repeating"))
    )]
    Unavailable(Problem),
}
