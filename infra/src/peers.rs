//! Other instances' owners over HTTP/1.1, signed; see [`command_api::web::peers`] for the other side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use command_api::peers::{PEER_HEADER, PeerError, PeerSecret, Peers, WireAnswered, WireCommand, WireView};
use command_api::web::peers::MAX_BODY;
use domain::aggregate::Registry;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest};
use domain::merkle::Hash;
use domain::ports::clock::{Clock, SystemClock};
use domain::ports::gateway::StreamView;
use domain::position::Shard;
use domain::stream::StreamId;
use reqwest::{Client, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// Requests at once to all peers; more wait.
const MAX_REQUESTS: usize = 1_024;
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(1);
/// An answer that takes longer is given up: longer than any caller waits.
const ANSWER: Duration = Duration::from_secs(30);
/// Idle connections are closed after this time, before the server closes them.
const IDLE: Duration = Duration::from_secs(10);

/// The way to peers.
pub struct HttpPeers {
    client: Client,
    secret: PeerSecret,
    registry: Arc<Registry>,
    room: Semaphore,
}

impl HttpPeers {
    /// Peers that share `secret`. States that they tell are read with `registry`.
    ///
    /// # Errors
    /// When the HTTP client can't be made.
    pub fn new(secret: [u8; 32], registry: Arc<Registry>) -> anyhow::Result<Self> {
        let client = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .build()?;
        let secret = PeerSecret::new(secret);
        Ok(Self { client, secret, registry, room: Semaphore::new(MAX_REQUESTS) })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        address: &str,
        shard: Shard,
        operation: &str,
        body: Vec<u8>,
    ) -> Result<T, PeerError> {
        if body.len() > MAX_BODY {
            return Err(CommandError::TooLarge { size: body.len(), limit: MAX_BODY }.into());
        }
        let _place = self.room.acquire().await.map_err(|e| PeerError::NotReached(e.to_string()))?;
        let path = format!("/internal/v1/owner/{shard}/{operation}");
        let signature = self.secret.sign("POST", &path, SystemClock.now(), &body);
        let request = self
            .client
            .post(format!("http://{address}{path}"))
            .header(PEER_HEADER, signature)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        let mut response = request.send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                PeerError::NotReached(format!("{address}: {error}"))
            } else {
                PeerError::NoAnswer(format!("{address}: {error}"))
            }
        })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::SERVICE_UNAVAILABLE => return Err(CommandError::Overloaded.into()),
            status if status.is_client_error() => {
                tracing::warn!(address, %status, operation, "a peer turned a request away");
                return Err(PeerError::NotReached(format!("{address} answered {status}")));
            }
            status => return Err(PeerError::NoAnswer(format!("{address} answered {status}"))),
        }
        let mut answer = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if answer.len() + chunk.len() <= MAX_ANSWER => {
                    answer.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => return Err(PeerError::NoAnswer(format!("{address} answers too much"))),
                Ok(None) => break,
                Err(error) => return Err(PeerError::NoAnswer(format!("{address}: {error}"))),
            }
        }
        let outcome: Result<T, CommandError> = serde_json::from_slice(&answer)
            .map_err(|e| PeerError::NoAnswer(format!("{address} answers what can't be read: {e}")))?;
        outcome.map_err(PeerError::Answered)
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, PeerError> {
    serde_json::to_vec(value).map_err(|e| CommandError::Internal(format!("no json form: {e}")).into())
}

#[async_trait]
impl Peers for HttpPeers {
    async fn submit(
        &self,
        address: &str,
        shard: Shard,
        command: &CommandRequest,
    ) -> Result<Accepted, PeerError> {
        self.ask(address, shard, "submit", json(&WireCommand::of(command)?)?).await
    }

    async fn read(
        &self,
        address: &str,
        shard: Shard,
        streams: &[StreamId],
    ) -> Result<Vec<StreamView>, PeerError> {
        let views: Vec<WireView> = self.ask(address, shard, "read", json(&streams)?).await?;
        let views: Result<Vec<_>, _> = views.into_iter().map(|view| view.into_view(&self.registry)).collect();
        Ok(views?)
    }

    async fn answered(
        &self,
        address: &str,
        shard: Shard,
        id: CommandId,
        body_hash: &Hash,
    ) -> Result<Option<Accepted>, PeerError> {
        let question = WireAnswered { id, body_hash: *body_hash };
        self.ask(address, shard, "answered", json(&question)?).await
    }
}
