//! The owner's side of questions from other instances: `POST /internal/v1/owner/{shard}/submit | read | answered`, signed. Not part of
//! the public API: to be merged outside its conventions and its document. The answer is the outcome as JSON with status 200, errors
//! included; other statuses say that the request was turned away unread.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use domain::aggregate::Registry;
use domain::command::CommandError;
use domain::ports::gateway::CommandGateway;
use domain::position::Shard;
use domain::stream::StreamId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::owner::Owners;
pub use crate::peers::PeerSecret;
use crate::peers::{PEER_HEADER, WireAnswered, WireCommand, WireView};
use crate::web::problem::Problem;

/// The largest request body, in bytes: a command of the largest size that the public API takes, with its personal fields encrypted.
pub const MAX_BODY: usize = 4 << 20;
/// Requests at once; more are turned away.
const MAX_REQUESTS: usize = 4_096;
/// Kibibytes of bodies at once; more are turned away.
const MAX_BODIES_KIB: usize = 64 << 10;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(5);

struct PeerState {
    owners: Arc<Owners>,
    registry: Arc<Registry>,
    secret: PeerSecret,
    requests: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
}

/// The routes for other instances.
pub fn router(owners: Arc<Owners>, registry: Arc<Registry>, secret: PeerSecret) -> Router {
    let state = PeerState {
        owners,
        registry,
        secret,
        requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
        bodies: Arc::new(Semaphore::new(MAX_BODIES_KIB)),
    };
    Router::new()
        .route("/internal/v1/owner/{shard}/submit", post(submit))
        .route("/internal/v1/owner/{shard}/read", post(read))
        .route("/internal/v1/owner/{shard}/answered", post(answered))
        .with_state(Arc::new(state))
}

/// A request's place among those being answered.
struct Admitted {
    body: Bytes,
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Admitted {
    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|e| malformed(e.to_string()))
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed-peer-request", detail)
}

impl PeerState {
    /// Everything before the contents: signed, not too large, not too many.
    async fn admit(&self, request: Request) -> Result<Admitted, Problem> {
        let (parts, body) = request.into_parts();
        let unsigned = || Problem::unauthorized("the request is not signed by a peer of this store");
        let signature = text(&parts.headers, PEER_HEADER).ok_or_else(unsigned)?;
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let signed = self.secret.signed(signature, method, path, self.owners.now()).ok_or_else(unsigned)?;
        let too_large = || {
            let detail = format!("the body is larger than {MAX_BODY} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
        };
        let length =
            text(&parts.headers, header::CONTENT_LENGTH.as_str()).and_then(|n| n.parse::<usize>().ok());
        let Some(length) = length else {
            return Err(Problem::new(StatusCode::LENGTH_REQUIRED, "length-required", "no content length"));
        };
        if length > MAX_BODY {
            return Err(too_large());
        }
        let overloaded = || Problem::from(CommandError::Overloaded);
        let request = Arc::clone(&self.requests).try_acquire_owned().map_err(|_| overloaded())?;
        // At most 4,096 of them.
        let kib = u32::try_from(length / 1_024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.bodies).try_acquire_many_owned(kib).map_err(|_| overloaded())?;
        let body = match tokio::time::timeout(BODY_WITHIN, to_bytes(body, length)).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return Err(malformed("the body did not arrive whole".into())),
            Err(_) => {
                return Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "body-too-slow",
                    "the body came too slowly",
                ));
            }
        };
        if !signed.is(&body) {
            return Err(unsigned());
        }
        Ok(Admitted { body, _permits: (request, room) })
    }

    /// The streams must live in the shard that was asked.
    fn check<'a>(
        &self,
        shard: Shard,
        mut streams: impl Iterator<Item = &'a StreamId>,
    ) -> Result<(), Problem> {
        match streams.find(|stream| stream.shard(self.owners.shards()) != shard) {
            Some(stream) => Err(malformed(format!("{stream} does not live in shard {shard}"))),
            None => Ok(()),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn outcome<T: Serialize>(outcome: Result<T, CommandError>) -> Response {
    Json(outcome).into_response()
}

async fn submit(
    State(state): State<Arc<PeerState>>,
    Path(shard): Path<u16>,
    request: Request,
) -> Result<Response, Problem> {
    let admitted = state.admit(request).await?;
    let command: WireCommand = admitted.json()?;
    let command = command.into_request(&state.registry).map_err(malformed)?;
    state.check(Shard(shard), command.steps.iter().map(|step| &step.stream))?;
    Ok(outcome(state.owners.submit(command).await))
}

async fn read(
    State(state): State<Arc<PeerState>>,
    Path(shard): Path<u16>,
    request: Request,
) -> Result<Response, Problem> {
    let admitted = state.admit(request).await?;
    let streams: Vec<StreamId> = admitted.json()?;
    state.check(Shard(shard), streams.iter())?;
    let views = state.owners.read(&streams).await;
    Ok(outcome(views.and_then(|views| views.iter().map(WireView::of).collect::<Result<Vec<_>, _>>())))
}

async fn answered(
    State(state): State<Arc<PeerState>>,
    Path(shard): Path<u16>,
    request: Request,
) -> Result<Response, Problem> {
    let admitted = state.admit(request).await?;
    let WireAnswered { id, body_hash } = admitted.json()?;
    Ok(outcome(state.owners.answered(Shard(shard), id, &body_hash).await))
}
