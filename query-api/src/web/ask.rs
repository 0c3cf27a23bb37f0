//! What every query may carry: parameters, a Sync-Token, `If-None-Match`.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use command_api::web::headers::SYNC_TOKEN;
use command_api::web::preconditions::IfNoneMatch;
use command_api::web::problem::Problem;
use domain::position::{Position, SyncToken};
use domain::stream::StreamId;
use projections::engine::query::Page;
use projections::engine::read_models::ReadModels;
use tokio::time::Instant;

use crate::web::cursor::Scope;
use crate::web::failed::Failed;
use crate::web::params::Params;
use crate::web::state::QueryState;

/// A query's request besides its path.
#[derive(Debug)]
pub struct Ask {
    /// The parameters.
    pub params: Params,
    /// What the client has already.
    pub if_none_match: Option<IfNoneMatch>,
    token: Option<SyncToken>,
}

impl Ask {
    /// Reads a request whose only parameters are `known`.
    ///
    /// # Errors
    /// 400 for whatever is malformed.
    pub fn read(
        state: &QueryState,
        headers: &HeaderMap,
        raw: Option<&str>,
        known: &[&str],
    ) -> Result<Self, Problem> {
        Self::read_repeated(state, headers, raw, known, &[])
    }

    /// As [`Self::read`], with parameters that may occur more than once.
    pub fn read_repeated(
        state: &QueryState,
        headers: &HeaderMap,
        raw: Option<&str>,
        known: &[&str],
        repeated: &[&str],
    ) -> Result<Self, Problem> {
        let params = Params::parse(raw, known, repeated)?;
        let token = sync_token(headers, state.config.shards)?;
        Ok(Self { params, if_none_match: IfNoneMatch::read(headers)?, token })
    }

    /// Waits until every projection that the query touches has seen the token, and returns them: their answers are as new as the token,
    /// whatever happens to their rows meanwhile. At once without a token.
    ///
    /// # Errors
    /// 503 `stale` when the wait runs out; one deadline counts for all of them.
    pub async fn settle(
        &self,
        state: &QueryState,
        projections: &[&'static str],
    ) -> Result<Arc<dyn ReadModels>, Failed> {
        let read = Arc::clone(&state.ports.read);
        let Some(token) = &self.token else { return Ok(read) };
        let deadline = Instant::now() + state.config.wait;
        for projection in projections {
            let left = deadline.saturating_duration_since(Instant::now());
            read.wait_for(projection, token, left).await?;
        }
        Ok(read.after(token, deadline))
    }

    /// The page asked for: what `cursor` names, if there is one and it is of this scope.
    pub fn page(&self, state: &QueryState, scope: &Scope<'_>) -> Result<Page, Problem> {
        let limit = self.params.limit()?;
        let after =
            self.params.cursor().map(|cursor| state.config.cursors.open(scope, cursor)).transpose()?;
        Ok(Page { after, limit })
    }
}

/// The token of a request: 400 when it is malformed or names a shard that the store doesn't have.
fn sync_token(headers: &HeaderMap, shards: u16) -> Result<Option<SyncToken>, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad-sync-token", detail);
    let mut token: Option<SyncToken> = None;
    for value in headers.get_all(SYNC_TOKEN) {
        let text = value.to_str().map_err(|_| bad("the Sync-Token is not ASCII".into()))?;
        let part: SyncToken = text.parse().map_err(|e| bad(format!("the Sync-Token is malformed: {e}")))?;
        for position in part.positions() {
            known_shard(*position, shards).map_err(bad)?;
            token.get_or_insert_default().add(*position);
        }
    }
    Ok(token)
}

/// Refuses a position in a shard that the store doesn't have.
pub fn known_shard(position: Position, shards: u16) -> Result<Position, String> {
    if position.shard.0 < shards {
        return Ok(position);
    }
    Err(format!(
        "the store has no shard {}; it has the shards 0 to {}",
        position.shard,
        shards.saturating_sub(1)
    ))
}

/// Refuses a query by id on a stream that the projection has parked.
pub async fn not_parked(
    state: &QueryState,
    projection: &'static str,
    stream: &StreamId,
) -> Result<(), Failed> {
    if state.ports.read.is_parked(projection, stream).await? {
        Err(Failed::parked(stream.kind()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SYNC_TOKEN, HeaderValue::from_str(value).unwrap());
        }
        sync_token(&headers, 16).map(|token| token.map(|t| t.to_string())).map_err(|p| p.status)
    }

    // proves: QRY-1
    #[test]
    fn tokens_may_be_lists_and_several_headers() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["3:7, 0:1", "3:9"]), Ok(Some("0:1,3:9".into())));
    }

    // proves: QRY-1
    #[test]
    fn malformed_tokens_and_unknown_shards_are_refused() {
        for value in
            ["", "x", "1", "1:2,", "1:-2", "16:1", "1:2;2:3", "65535:1", "99999:1", "1:99999999999999999999"]
        {
            assert_eq!(read(&[value]), Err(400), "{value}");
        }
    }
}
