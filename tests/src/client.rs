//! A small client of the HTTP API, as a stranger would write one.

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::server::eventually;
use crate::shop::SETTLES_WITHIN;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; `Null` when it is empty or isn't JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Reply {
    /// A header's value; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }

    /// A text of the body, by JSON pointer; empty when absent.
    #[must_use]
    pub fn text_at(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or("")
    }

    /// A number of the body, by JSON pointer; -1 when absent.
    #[must_use]
    pub fn number_at(&self, pointer: &str) -> i64 {
        self.body.pointer(pointer).and_then(Value::as_i64).unwrap_or(-1)
    }

    /// The `id` of the body.
    #[must_use]
    pub fn id(&self) -> String {
        self.text_at("/id").to_owned()
    }

    /// The last segment of a problem's type.
    #[must_use]
    pub fn problem(&self) -> &str {
        self.text_at("/type").rsplit('/').next().unwrap_or("")
    }

    /// The same answer when it has this status.
    ///
    /// # Panics
    /// When it has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "unexpected answer: {}", self.text);
        self
    }
}

/// Where a request goes, asked for each one: several servers may share the work.
pub trait Way: Debug + Send + Sync {
    /// `http://address` of the server that gets a request.
    fn base(&self, method: &Method, path: &str) -> String;
}

impl Way for String {
    fn base(&self, _: &Method, _: &str) -> String {
        self.clone()
    }
}

/// The address of one server that may move.
#[derive(Debug)]
pub struct Address(Mutex<String>);

impl Address {
    /// At first it is `http://address`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self(Mutex::new(base.to_owned()))
    }

    /// It has moved.
    ///
    /// # Panics
    /// Never.
    pub fn set(&self, base: &str) {
        base.clone_into(&mut self.0.lock().expect("no panic"));
    }
}

impl Way for Address {
    fn base(&self, _: &Method, _: &str) -> String {
        self.0.lock().expect("no panic").clone()
    }
}

/// A client of one server or several, signed in or not.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    way: Arc<dyn Way>,
    /// A request that no server took goes to another one.
    many: bool,
    token: Option<String>,
}

/// A request being put together.
#[derive(Debug)]
pub struct Call {
    builder: reqwest::RequestBuilder,
    /// Where else it may go.
    elsewhere: Option<Elsewhere>,
}

/// Where a request goes, and what it asks for there.
#[derive(Debug)]
struct Elsewhere {
    way: Arc<dyn Way>,
    method: Method,
    path: String,
}

/// How often a request is sent that no server takes.
const ATTEMPTS: usize = 10;

fn http(patience: Duration, idle: usize) -> reqwest::Client {
    let client = reqwest::Client::builder().timeout(patience).pool_max_idle_per_host(idle);
    client.build().expect("an HTTP client")
}

impl Client {
    /// A client of the server at `base` (`http://address`), not signed in.
    ///
    /// # Panics
    /// When no client can be made.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self::via(Arc::new(base.to_owned()))
    }

    /// A client of whichever server is named when it asks, not signed in.
    ///
    /// # Panics
    /// When no client can be made.
    #[must_use]
    pub fn via(way: Arc<dyn Way>) -> Self {
        Self { http: http(SETTLES_WITHIN, 256), way, many: false, token: None }
    }

    /// A client of several servers, not signed in. Every request has a connection of its own: one that is kept open may be
    /// closed by a server that stops just when a request is sent on it, and then nobody knows what became of the request. One that
    /// no server took, since it has stopped just then, goes to another, as load balancers do it. And
    /// patience ends after 15 s, since another server may answer what a paused one doesn't.
    ///
    /// # Panics
    /// When no client can be made.
    #[must_use]
    pub fn of_many(way: Arc<dyn Way>) -> Self {
        Self { http: http(Duration::from_secs(15), 0), way, many: true, token: None }
    }

    /// The same client with a connection for every request, and as much patience as there is.
    ///
    /// # Panics
    /// When no client can be made.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { http: http(SETTLES_WITHIN, 0), ..self.clone() }
    }

    /// The same client for a server that has moved to another address.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { way: Arc::new(base.to_owned()), many: false, ..self.clone() }
    }

    /// The same client with another access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client without a token.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// A request to a path.
    #[must_use]
    pub fn call(&self, method: Method, path: &str) -> Call {
        let url = format!("{}{path}", self.way.base(&method, path));
        let mut builder = self.http.request(method.clone(), url);
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token);
        }
        let elsewhere =
            Elsewhere { way: Arc::clone(&self.way), method: method.clone(), path: path.to_owned() };
        Call { builder, elsewhere: self.many.then_some(elsewhere) }
    }

    /// GET, read to its end.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn get(&self, path: &str) -> reqwest::Result<Reply> {
        self.call(Method::GET, path).send().await
    }

    /// POST of a JSON body.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Call {
        self.call(Method::POST, path).json(body)
    }

    /// PUT of a JSON body.
    #[must_use]
    pub fn put(&self, path: &str, body: &Value) -> Call {
        self.call(Method::PUT, path).json(body)
    }

    /// Signs in as one of the accounts of a credentials file.
    ///
    /// # Errors
    /// When the file can't be read, or no answer came.
    pub async fn login_as(&self, credentials: &Path, account: &str) -> anyhow::Result<Self> {
        let all: Value = serde_json::from_str(&std::fs::read_to_string(credentials)?)?;
        let text = |field: &str| all[account][field].as_str().unwrap_or_default().to_owned();
        Ok(self.login(&text("email"), &text("password")).await?)
    }

    /// Signs in.
    ///
    /// # Errors
    /// When no answer came.
    ///
    /// # Panics
    /// When the credentials are refused.
    pub async fn login(&self, email: &str, password: &str) -> reqwest::Result<Self> {
        let body = serde_json::json!({ "email": email, "password": password });
        let anonymous = self.anonymous();
        // A server that has just started, or lost an owner, says that it can't look just now.
        let answer = eventually("a login", SETTLES_WITHIN, || async {
            match anonymous.post("/api/v1/auth/login", &body).send().await {
                Ok(reply) if reply.status == 503 => None,
                Err(error) if error.is_timeout() => None,
                answer => Some(answer),
            }
        });
        let reply = answer.await?.expect(200);
        Ok(self.with_token(reply.text_at("/access_token")))
    }
}

impl Call {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a header name");
        self.builder = self.builder.header(name, HeaderValue::try_from(value).expect("a header value"));
        self
    }

    /// Adds an `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Adds a `Sync-Token`.
    #[must_use]
    pub fn seen(self, token: &str) -> Self {
        self.header("sync-token", token)
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.builder = self.builder.json(body);
        self
    }

    /// Sets a body as it is.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.builder = self.builder.header("content-type", content_type).body(body);
        self
    }

    /// Sends it; again, elsewhere, as long as nobody takes it.
    async fn respond(mut self) -> reqwest::Result<reqwest::Response> {
        for _ in 1..ATTEMPTS {
            let Some((again, elsewhere)) = self.builder.try_clone().zip(self.elsewhere.as_ref()) else {
                break;
            };
            match self.builder.send().await {
                Err(error) if error.is_connect() => {}
                done => return done,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            let base = elsewhere.way.base(&elsewhere.method, &elsewhere.path);
            let (client, request) = again.build_split();
            let mut request = request?;
            *request.url_mut() = format!("{base}{}", elsewhere.path).parse().expect("a url");
            self.builder = reqwest::RequestBuilder::from_parts(client, request);
        }
        self.builder.send().await
    }

    /// Sends it and reads the answer to its end.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn send(self) -> reqwest::Result<Reply> {
        let response = self.respond().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status, headers, body, text })
    }
}
