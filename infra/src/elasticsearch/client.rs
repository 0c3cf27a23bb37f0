//! Requests and how they fail.

use std::time::Duration;

use ::elasticsearch::auth::Credentials;
use ::elasticsearch::http::Method;
use ::elasticsearch::http::headers::HeaderMap;
use ::elasticsearch::http::request::JsonBody;
use ::elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use projections::engine::store::StoreError;
use serde_json::Value;

use super::url::ElasticsearchUrl;

/// A request that takes longer has an unknown outcome.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a request fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// No such index or alias.
    Lost(String),
    /// The contents are at fault.
    Refused(String),
    /// Elasticsearch can't be reached, is busy or out of order; the outcome may be unknown.
    Unavailable(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost(reason) | Failure::Unavailable(reason) => {
                Self::Unavailable(format!("elasticsearch: {reason}"))
            }
            Failure::Refused(reason) => Self::Refused(format!("elasticsearch: {reason}")),
        }
    }
}

impl From<Failure> for projections::engine::read_models::ReadError {
    fn from(failure: Failure) -> Self {
        let (Failure::Lost(reason) | Failure::Refused(reason) | Failure::Unavailable(reason)) = failure;
        Self::Unavailable(format!("elasticsearch: {reason}"))
    }
}

impl Failure {
    /// What an answer's status and error mean.
    pub(super) fn of(status: u64, error: &Value) -> Self {
        let kind = error["type"].as_str().unwrap_or("no type");
        let cause = error["caused_by"]["reason"].as_str();
        let reason = error["reason"].as_str().or(error.as_str()).unwrap_or("no reason");
        let text = match cause {
            Some(cause) => format!("{status} {kind}: {reason}: {cause}"),
            None => format!("{status} {kind}: {reason}"),
        };
        match status {
            404 if kind == "index_not_found_exception" || kind == "aliases_not_found_exception" => {
                Self::Lost(text)
            }
            400 | 413 => Self::Refused(text),
            // 403: blocked, or not allowed; 409 is judged by whoever asked; 429: too busy.
            _ => Self::Unavailable(text),
        }
    }
}

/// An answer that isn't an error, or the error.
pub(super) struct Answer {
    pub(super) status: u64,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn ok(self) -> Result<Value, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        Err(Failure::of(self.status, &self.body["error"]))
    }
}

/// A cluster.
#[derive(Debug, Clone)]
pub(super) struct Client {
    transport: Transport,
}

impl Client {
    pub(super) fn new(url: &ElasticsearchUrl) -> Result<Self, StoreError> {
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url.base().clone()))
            .timeout(TIMEOUT)
            .disable_proxy();
        if let Some((user, password)) = url.credentials() {
            builder = builder.auth(Credentials::Basic(user.to_owned(), password.to_owned()));
        }
        let transport =
            builder.build().map_err(|e| StoreError::Unavailable(format!("elasticsearch: {e}")))?;
        Ok(Self { transport })
    }

    /// A request without a body; whatever its answer is.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<Answer, Failure> {
        self.send(method, path, None::<()>).await
    }

    /// A request that must succeed.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::Get, path).await?.ok()
    }

    /// A request with a JSON body that must succeed.
    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.send(Method::Post, path, Some(JsonBody::new(body))).await?.ok()
    }

    /// A request with a body of any kind; whatever its answer is.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<impl ::elasticsearch::http::request::Body>,
    ) -> Result<Answer, Failure> {
        let unavailable = |e: ::elasticsearch::Error| {
            // The outer error only says that a request failed.
            let mut reason = e.to_string();
            let mut cause = std::error::Error::source(&e);
            while let Some(inner) = cause {
                reason = format!("{reason}: {inner}");
                cause = inner.source();
            }
            Failure::Unavailable(reason)
        };
        let sent = self.transport.send(method, path, HeaderMap::new(), None::<&()>, body, None).await;
        let response = sent.map_err(unavailable)?;
        let status = u64::from(response.status_code().as_u16());
        let bytes = response.bytes().await.map_err(unavailable)?;
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            // A proxy's error page, or an empty answer.
            Err(_) if !(200..300).contains(&status) || bytes.is_empty() => Value::Null,
            Err(e) => return Err(Failure::Unavailable(format!("the answer isn't JSON: {e}"))),
        };
        Ok(Answer { status, body })
    }
}
