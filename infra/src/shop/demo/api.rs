//! The server's HTTP API, called within the process: the demo goes the way that every client goes.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::Instant;
use tower::ServiceExt as _;
use uuid::Uuid;

/// How long a call is repeated.
const PATIENCE: Duration = Duration::from_secs(120);

/// A caller of the API, signed in or not.
#[derive(Clone)]
pub(super) struct Api {
    router: Router,
    token: Option<String>,
}

/// An answer that was no error.
pub(super) struct Answer {
    pub(super) body: Value,
    /// The Sync-Token; empty for a query.
    pub(super) seen: String,
}

impl Answer {
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or("")
    }
}

/// What a call says besides method, path and body.
#[derive(Default)]
pub(super) struct Extras<'a> {
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) sync_token: Option<&'a str>,
    /// Becomes the correlation id of the command's events.
    pub(super) trace: Option<Uuid>,
}

impl Api {
    pub(super) fn new(router: Router) -> Self {
        Self { router, token: None }
    }

    pub(super) async fn login(&self, email: &str, password: &str) -> anyhow::Result<Self> {
        let body = serde_json::json!({ "email": email, "password": password });
        let answer = self.call(Method::POST, "/api/v1/auth/login", Some(body), Extras::default()).await;
        let answer = answer.with_context(|| format!("logging in as {email}"))?;
        Ok(Self { router: self.router.clone(), token: Some(answer.text("/access_token").to_owned()) })
    }

    pub(super) async fn get(&self, path: &str, sync_token: Option<&str>) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, None, Extras { sync_token, ..Extras::default() }).await
    }

    /// Calls an operation. A server under load may say that it can't serve just now, or doesn't know what became of a command: as
    /// every good client does, it repeats what is safe to repeat, for [`PATIENCE`].
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        extras: Extras<'_>,
    ) -> anyhow::Result<Answer> {
        // A login can be repeated: it makes a session more.
        let safe = method == Method::GET || extras.idempotency_key.is_some() || path.ends_with("/login");
        let give_up = Instant::now() + PATIENCE;
        loop {
            let (status, answer, wait) = self.once(&method, path, body.as_ref(), &extras).await?;
            if status.is_success() {
                return Ok(answer);
            }
            if safe && status.as_u16() == 503 && Instant::now() + wait < give_up {
                tokio::time::sleep(wait).await;
                continue;
            }
            let detail = answer.body["detail"].as_str().unwrap_or("nothing");
            bail!("{method} {path} returned {status}: {detail}");
        }
    }

    /// Status, answer, and how long to wait before a repeat.
    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        extras: &Extras<'_>,
    ) -> anyhow::Result<(StatusCode, Answer, Duration)> {
        let mut request = Request::builder().method(method.clone()).uri(path);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = extras.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(token) = extras.sync_token {
            request = request.header("sync-token", token);
        }
        if let Some(trace) = extras.trace {
            request = request.header("traceparent", format!("00-{}-7469006c6c737472-01", trace.simple()));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let response = self.router.clone().oneshot(request.body(body)?).await?;
        let status = response.status();
        let said =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned);
        let seen = said("sync-token").unwrap_or_default();
        let wait = said("retry-after").and_then(|seconds| seconds.parse().ok()).unwrap_or(1);
        let bytes = response.into_body().collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok((status, Answer { body, seen }, Duration::from_secs(wait)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Json;
    use axum::response::IntoResponse as _;
    use axum::routing::any;

    use super::*;

    /// An API that is overloaded for the first two calls.
    fn busy() -> (Api, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let answer = async move || match counted.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => (StatusCode::from_u16(503).unwrap(), [("retry-after", "3")]).into_response(),
            _ => Json(serde_json::json!({ "id": "x" })).into_response(),
        };
        (Api::new(Router::new().fallback(any(answer))), calls)
    }

    // proves: OPS-1
    #[tokio::test(start_paused = true)]
    async fn what_is_safe_to_repeat_is_repeated_as_the_server_asks() {
        let keyed = || Extras { idempotency_key: Some("k"), ..Extras::default() };
        for (method, path, extras) in [
            (Method::GET, "/api/v1/orders/1", Extras::default()),
            (Method::POST, "/api/v1/auth/login", Extras::default()),
            (Method::POST, "/api/v1/orders", keyed()),
        ] {
            let (api, calls) = busy();
            let started = Instant::now();
            assert_eq!(api.call(method, path, None, extras).await.unwrap().text("/id"), "x");
            assert_eq!((calls.load(Ordering::SeqCst), started.elapsed().as_secs()), (3, 6));
        }
        let (api, calls) = busy();
        let refused = api.call(Method::POST, "/api/v1/shipments/1/dispatch", None, Extras::default()).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("503")));
        assert_eq!(calls.load(Ordering::SeqCst), 1, "without a key it might count twice");
    }
}
