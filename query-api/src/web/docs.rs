//! The parts of the OpenAPI document that many queries share.

use utoipa::IntoParams;

/// The header of every query.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents parameters that are read from the raw request")]
pub struct SyncParam {
    /// Positions that the answer must have seen, `shard:n[,shard:n…]`: what a command answered. The query waits for them,
    /// bounded, else answers 503 `stale`.
    #[param(
        rename = "Sync-Token",
        value_type = String,
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
pub struct ConditionalParam {
    /// Entity tags that the client has, as a list, or `*`: 304 when the resource's is among them.
    #[param(rename = "If-None-Match", value_type = String, required = false, example = "\"7\"")]
    if_none_match: Option<String>,
}

/// The parameters of every list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents parameters that are read from the raw request")]
pub struct PageParams {
    /// How many items at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; the other parameters must stay the same.
    #[param(min_length = 1)]
    cursor: Option<String>,
}
