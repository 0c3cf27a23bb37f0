//! The server's HTTP API, called within the process: the demo goes the way that every client goes.

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

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

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        extras: Extras<'_>,
    ) -> anyhow::Result<Answer> {
        let what = format!("{method} {path}");
        let mut request = Request::builder().method(method).uri(path);
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
        let token =
            response.headers().get("sync-token").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let bytes = response.into_body().collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if !status.is_success() {
            bail!("{what} answered {status}: {}", body["detail"].as_str().unwrap_or("nothing"));
        }
        Ok(Answer { body, seen: token })
    }
}
