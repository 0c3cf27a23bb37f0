//! From a request to a command and back: the one place that makes command ids, and the one that writes a command's answer.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::command::{Accepted, CommandError, CommandId, CommandRequest, Step, digest_of};
use domain::merkle::Hash;
use domain::ports::keys::SubjectKeys;
use domain::position::Shard;
use domain::stream::{DEFAULT_TENANT, StreamId, draw_id_for_all, shard_of_digest};
use domain::uuids::any_spelling;
use futures::future::join_all;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::web::body::{self, FromBody};
use crate::web::caller::Caller;
use crate::web::context::RequestContext;
use crate::web::headers::{IDEMPOTENCY_REPLAYED, IdempotencyKey, SYNC_TOKEN, etag, header_of, sync_token};
use crate::web::problem::Problem;
use crate::web::state::CommandState;

/// Whether an operation can do without an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// 400 without one.
    Required,
    /// Every request without one is a command of its own.
    Optional,
}

/// A request whose body is not read yet, so that who may not is refused first.
pub struct Incoming {
    /// Its headers.
    pub headers: HeaderMap,
    method: Method,
    target: String,
    query: Option<String>,
    context: RequestContext,
    caller: Option<Caller>,
    body: Body,
}

impl<S: Send + Sync> FromRequest<S> for Incoming {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let target = target(&mut parts).await;
        let context = parts.extensions.get().cloned().unwrap_or_else(|| RequestContext::of(&parts.headers));
        Ok(Self {
            caller: parts.extensions.get().cloned(),
            method: parts.method,
            target,
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers,
            context,
            body,
        })
    }
}

/// What a command is sent to: the route's template with the ids in it, each in the one spelling that is written. However a
/// client writes the path, a key means the same command.
async fn target(parts: &mut Parts) -> String {
    let template = parts.extensions.get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let Some(mut target) = template else { return parts.uri.path().to_owned() };
    // Decoded once. Where that can't be done, the handler refuses the path.
    let Ok(params) = RawPathParams::from_request_parts(parts, &()).await else { return target };
    for (name, value) in &params {
        let id = any_spelling(value).map_or_else(|| value.to_owned(), |id| id.to_string());
        target = target.replace(&format!("{{{name}}}"), &id);
    }
    target
}

impl Incoming {
    /// Who sent it.
    ///
    /// # Errors
    /// 401.
    pub fn caller(&self) -> Result<Caller, Problem> {
        self.caller.clone().ok_or_else(|| Problem::unauthorized("log in first"))
    }

    /// Reads parameters, key and body, in this order.
    pub async fn read<B: FromBody>(self, state: &CommandState, key: Key) -> Result<(Issue, B), Problem> {
        if let Some(name) =
            self.query.as_deref().and_then(|query| query.split(['&', '=']).find(|n| !n.is_empty()))
        {
            let name: String = name.chars().take(60).collect();
            return Err(Problem::bad_parameter(&name, "this operation has no parameters"));
        }
        let key = match key {
            Key::Required => Some(IdempotencyKey::required(&self.headers)?),
            Key::Optional => IdempotencyKey::read(&self.headers)?,
        };
        let bytes = body::read(&self.headers, self.body).await?;
        let value = body::parse::<B>(&self.headers, &bytes)?;
        let body = body::check::<B>(&value)?;
        let actor = self.caller.as_ref().map_or_else(|| "system:anonymous".to_owned(), Caller::actor);
        // What is done to a session is done to that one: the same key in another session is another command.
        let principal = match &self.caller {
            Some(caller) if self.target.starts_with("/api/v1/auth/") => {
                format!("{actor}/session:{}", caller.session_id)
            }
            _ => actor.clone(),
        };
        let issue = Issue {
            tenant: self.caller.map_or_else(|| DEFAULT_TENANT.to_owned(), |caller| caller.tenant),
            principal,
            actor,
            method: self.method,
            target: self.target,
            key,
            body_hash: body_hash(&*state.keys, &value),
            context: self.context,
            fresh: CommandId::fresh(),
        };
        Ok((issue, body))
    }
}

/// A keyed digest: the log keeps it for ever, and a plain one would let anybody try passwords and addresses against it.
fn body_hash(keys: &dyn SubjectKeys, value: &Value) -> Hash {
    digest_of(&[&keys.blind(&format!("body:{}", body::canonical(value)))])
}

/// A command to be, without its steps.
pub struct Issue {
    /// The tenant.
    pub tenant: String,
    /// Who acts, as events say it.
    pub actor: String,
    /// What a repeat under the same key must have said too.
    pub body_hash: Hash,
    principal: String,
    method: Method,
    target: String,
    key: Option<IdempotencyKey>,
    context: RequestContext,
    fresh: CommandId,
}

impl Issue {
    /// A command of the program's own, which nobody repeats under the same id.
    pub fn internal(tenant: &str, actor: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            principal: actor.to_owned(),
            actor: actor.to_owned(),
            method: Method::POST,
            target: String::new(),
            key: None,
            body_hash: [0; 32],
            context: RequestContext::of(&HeaderMap::new()),
            fresh: CommandId::fresh(),
        }
    }

    /// The client's key.
    pub fn key(&self) -> Option<&str> {
        self.key.as_ref().map(IdempotencyKey::as_str)
    }

    /// Scopes the key by another principal than the actor, for what anybody may do.
    pub fn scoped_by(mut self, principal: String) -> Self {
        self.principal = principal;
        self
    }

    /// Who acts, where the request's own credentials say it rather than an access token.
    pub fn acting(mut self, actor: String) -> Self {
        self.actor = actor;
        self
    }

    /// Forgets the client's key.
    pub fn without_key(mut self) -> Self {
        self.key = None;
        self
    }

    fn parts<'a>(&'a self, key: &'a str) -> [&'a str; 5] {
        [&self.tenant, &self.principal, self.method.as_str(), &self.target, key]
    }

    /// The command's id: the same for every request with this key in this scope.
    pub fn id(&self) -> CommandId {
        self.key().map_or(self.fresh, |key| CommandId::derived(&self.parts(key)))
    }

    /// The shard of what the command creates: a repeat meets the first in one owner.
    pub fn shard(&self, shards: u16) -> Shard {
        let digest = match self.key() {
            Some(key) => digest_of(&self.parts(key)),
            None => digest_of(&[&self.fresh.to_string()]),
        };
        shard_of_digest(&digest, shards)
    }

    /// A new stream in the command's shard.
    pub fn draw(&self, kind: &str, shards: u16) -> (Uuid, StreamId) {
        self.draw_together(&[kind], shards)
    }

    /// A new stream of the first type in the command's shard, with an id by which streams of the other types fall there as well.
    pub fn draw_together(&self, kinds: &[&str], shards: u16) -> (Uuid, StreamId) {
        let id = draw_id_for_all(&self.tenant, kinds, self.shard(shards), shards);
        (id, StreamId::new(&self.tenant, kinds.first().copied().unwrap_or_default(), id))
    }

    /// Has the command decided.
    ///
    /// # Errors
    /// The refusal or failure, as a problem.
    pub async fn submit(&self, state: &CommandState, steps: Vec<Step>) -> Result<Accepted, Problem> {
        self.submit_beside(state, steps, None).await
    }

    /// As [`Self::submit`], with what the answer says besides the aggregate's own.
    pub async fn submit_beside(
        &self,
        state: &CommandState,
        steps: Vec<Step>,
        beside: Option<Map<String, Value>>,
    ) -> Result<Accepted, Problem> {
        let id = self.id();
        let mut command = CommandRequest { beside, ..CommandRequest::new(id, &self.actor, steps) };
        if self.key.is_some() {
            command = command.repeatable(self.body_hash);
        }
        command.correlation_id = self.context.correlation_id;
        self.context.issues(id);
        Ok(state.gateway.submit(command).await?)
    }

    /// Has something decided beside the command, for the same person and reason, that nobody repeats under the same id.
    ///
    /// # Errors
    /// The refusal or failure, as a problem.
    pub async fn aside(&self, state: &CommandState, step: Step) -> Result<Accepted, Problem> {
        let mut command = CommandRequest::new(CommandId::fresh(), &self.actor, vec![step]);
        command.correlation_id = self.context.correlation_id;
        command.causation_id = self.id().0;
        Ok(state.gateway.submit(command).await?)
    }

    /// The stored answer of this command in whichever shard accepted it: the same key with another body may lead to another
    /// shard, when the shard follows from the body, and must not be a command of its own.
    ///
    /// # Errors
    /// 422 when it had another body, 409 while it is being decided; that of looking.
    pub async fn answered_anywhere(&self, state: &CommandState) -> Result<Option<Accepted>, Problem> {
        if self.key.is_none() {
            return Ok(None);
        }
        let look = |shard| state.gateway.answered(Shard(shard), self.id(), &self.body_hash);
        let looked = join_all((0..state.gateway.shards()).map(look)).await;
        let mut failed = None;
        for found in looked {
            match found {
                Ok(Some(accepted)) => return Ok(Some(accepted)),
                Ok(None) => {}
                // Where another shard can't be reached, what this one knows still counts more.
                Err(error @ (CommandError::BodyMismatch | CommandError::InFlight)) => {
                    return Err(error.into());
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), |error| Err(error.into()))
    }

    /// The stored answer of this command, when it is a repeat of an accepted one; else the given problem. For checks of state
    /// outside the command's own streams, which may have changed since the first time.
    ///
    /// # Errors
    /// The problem, or that of looking.
    pub async fn repeat_or(
        &self,
        state: &CommandState,
        shard: Shard,
        problem: Problem,
    ) -> Result<Accepted, Problem> {
        if self.key.is_none() {
            return Err(problem);
        }
        state.gateway.answered(shard, self.id(), &self.body_hash).await?.ok_or(problem)
    }
}

/// The answer of a command: its JSON with the headers that every command has.
pub struct Reply {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// The stored answer, as it is.
    pub fn of(status: StatusCode, accepted: &Accepted) -> Result<Self, Problem> {
        Ok(Self::with(status, accepted, answer_of(accepted)?))
    }

    /// Another body than the stored answer, for what the log must not hold.
    pub fn with(status: StatusCode, accepted: &Accepted, body: Value) -> Self {
        Self { body: Some(body), ..Self::empty(status, accepted) }
    }

    /// No body.
    pub fn empty(status: StatusCode, accepted: &Accepted) -> Self {
        let mut headers = vec![(SYNC_TOKEN, sync_token(&accepted.token()))];
        if accepted.repeated {
            headers.push((IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true")));
        }
        Self { status, body: None, headers }
    }

    /// Adds the `ETag` of the body's version.
    pub fn tagged(mut self) -> Self {
        if let Some(version) = self.body.as_ref().and_then(|body| body["version"].as_u64()) {
            self.headers.push((header::ETAG, etag(&version)));
        }
        self
    }

    /// Adds the `ETag` that is made of the body; what is there for the tag alone is taken out of it.
    pub fn tagged_by<T: std::fmt::Display>(mut self, tag: impl FnOnce(&mut Value) -> Option<T>) -> Self {
        if let Some(tag) = self.body.as_mut().and_then(tag) {
            self.headers.push((header::ETAG, etag(&tag)));
        }
        self
    }

    /// Adds where to find what was made.
    pub fn at(mut self, location: &str) -> Self {
        self.headers.push((header::LOCATION, header_of(&location)));
        self
    }

    /// Adds where to find what was made: `collection` and the body's id.
    pub fn within(self, collection: &str) -> Self {
        let id = self.body.as_ref().and_then(|body| body["id"].as_str()).unwrap_or_default();
        let location = format!("{collection}/{id}");
        self.at(&location)
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => (self.status, axum::Json(body)).into_response(),
            None => self.status.into_response(),
        };
        response.headers_mut().extend(self.headers);
        response
    }
}

/// An accepted command's answer.
///
/// # Errors
/// 500 when it is not JSON, which an operator must look into.
pub fn answer_of(accepted: &Accepted) -> Result<Value, Problem> {
    serde_json::from_slice(&accepted.answer).map_err(|error| {
        tracing::error!(%error, command = %accepted.id, "a stored answer is not json");
        Problem::internal()
    })
}

/// The id in a path, in any spelling; whatever is no id names nothing.
pub fn path_id(text: &str, what: &str) -> Result<Uuid, Problem> {
    any_spelling(text).ok_or_else(|| Problem::not_found(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(principal: &str, path: &str, key: Option<&str>) -> Issue {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("idempotency-key", key.parse().unwrap());
        }
        Issue {
            tenant: "default".into(),
            actor: principal.into(),
            body_hash: [0; 32],
            principal: principal.into(),
            method: Method::POST,
            target: path.into(),
            key: IdempotencyKey::read(&headers).unwrap(),
            context: RequestContext::of(&headers),
            fresh: CommandId::fresh(),
        }
    }

    // proves: ORD-1
    #[test]
    fn a_repeat_has_the_same_id_and_shard_and_nothing_else_has() {
        let first = issue("user:1", "/api/v1/orders", Some("k"));
        let repeat = issue("user:1", "/api/v1/orders", Some("\"k\""));
        assert_eq!((first.id(), first.shard(16)), (repeat.id(), repeat.shard(16)));
        let (_, one) = first.draw("order", 16);
        let (_, two) = repeat.draw("order", 16);
        assert_eq!(one.shard(16), two.shard(16), "both meet in one owner");
        assert_ne!(one, two);
        for other in [
            issue("user:2", "/api/v1/orders", Some("k")),
            issue("user:1", "/api/v1/products", Some("k")),
            issue("user:1", "/api/v1/orders", Some("l")),
            issue("user:1", "/api/v1/orders", None),
        ] {
            assert_ne!(first.id(), other.id());
        }
    }

    /// What each spelling of one refund's path is a command on.
    async fn targets(paths: &[&str]) -> Vec<String> {
        let route = axum::routing::post(async |incoming: Incoming| incoming.target);
        let router = axum::Router::new().route("/api/v1/payments/{id}/refund", route);
        let mut targets = Vec::new();
        for path in paths {
            let request = axum::http::Request::post(*path).body(Body::empty()).unwrap();
            let answer = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
            let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
            targets.push(String::from_utf8(bytes.to_vec()).unwrap());
        }
        targets
    }

    // proves: PAY-2, SEC-4
    #[tokio::test]
    async fn a_key_means_the_same_command_however_the_id_is_written() {
        let id = Uuid::parse_str("0190b5a4-7e1c-7c3a-8d52-0242ac12abcd").unwrap();
        let encoded: String = id.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
        let spellings = [
            id.to_string(),
            id.to_string().to_uppercase(),
            id.simple().to_string(),
            id.urn().to_string(),
            format!("%7B{id}%7D"),
            id.to_string().replace('-', "%2D"),
            id.to_string().replace('0', "%30"),
            encoded,
        ];
        let paths: Vec<String> = spellings.iter().map(|id| format!("/api/v1/payments/{id}/refund")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let canonical = paths[0].to_owned();
        assert_eq!(targets(&paths).await, vec![canonical.clone(); paths.len()]);
        // Decoded once: what is encoded twice is no spelling of the id.
        let twice = canonical.replace('-', "%252D");
        assert_ne!(targets(&[&twice]).await, [canonical]);
    }

    #[test]
    fn without_a_key_every_request_is_a_command_of_its_own() {
        let one = issue("user:1", "/api/v1/orders", None);
        assert_eq!(one.id(), one.id());
        assert_ne!(one.id(), issue("user:1", "/api/v1/orders", None).id());
    }
}
