use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Method, Request as HttpRequest};
use axum::routing::{get, post};
use domain::identity::user::Role;
use domain::ports::clock::SystemClock;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;
use crate::web::access::{Access, Operation};
use crate::web::body;
use crate::web::caller::Caller;
use crate::web::tokens::SigningKeys;

/// A table with an operation of every kind.
fn operations() -> Vec<Operation> {
    let operation = |method, path: &str, access| Operation { method, path: path.to_owned(), access };
    let support = Access::Roles(["admin", "support"].into());
    vec![
        operation("GET", "/api/v1/products", Access::Public),
        operation("POST", "/api/v1/products", Access::Roles(["admin"].into())),
        operation("GET", "/api/v1/products/{id}", Access::Public),
        operation("PUT", "/api/v1/products/{id}", Access::Roles(["admin"].into())),
        operation("GET", "/api/v1/users/me", Access::Authenticated),
        operation("POST", "/api/v1/payments/{id}/refund", support),
        operation("POST", "/api/v1/auth/login", Access::Public),
        operation("POST", "/api/v1/orders", Access::Roles(["customer"].into())),
        operation("GET", "/health", Access::Public),
        operation("GET", "/health/live", Access::Public),
    ]
}

fn conventions(tokens: &Arc<Tokens>) -> Conventions {
    Conventions::new(Arc::clone(tokens), &operations(), Arc::new(metrics::NoopRecorder))
}

/// Handlers of our own on paths of the table: the conventions know operations only by method and path.
fn server() -> (Router, Arc<Tokens>) {
    let tokens = Arc::new(Tokens::new(SigningKeys::generate().unwrap(), Arc::new(SystemClock)));
    let router = Router::new()
        .route("/api/v1/products", get(async || Json(1)).post(async || Json(1)))
        .route("/api/v1/products/{id}", get(async |Path(_): Path<Uuid>| Json(1)))
        .route("/api/v1/users/me", get(async |caller: Caller| caller.actor()))
        .route("/api/v1/payments/{id}/refund", post(async || Json(1)))
        .route("/api/v1/unlisted", get(async || Json(1)))
        .route(
            "/api/v1/auth/login",
            post(async |request: Request| {
                let (parts, body) = request.into_parts();
                body::read(&parts.headers, body).await.map(|bytes| bytes.len().to_string())
            }),
        )
        .route("/health", get(async || -> Response { panic!("on purpose") }))
        .route("/health/live", get(async || -> Response { std::future::pending().await }))
        .route("/docs/{*rest}", get(async || "page"));
    let conventions = Conventions { time_limit: Duration::from_secs(20), ..conventions(&tokens) };
    (apply(router, &conventions), tokens)
}

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> HttpRequest<Body> {
    let mut request = HttpRequest::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

async fn send(router: &Router, request: HttpRequest<Body>) -> (Response, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (Response::from_parts(parts, Body::empty()), json)
}

fn code(problem: &Value) -> &str {
    problem["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default()
}

fn caller(roles: &[Role]) -> Caller {
    Caller {
        user_id: Uuid::now_v7(),
        tenant: "default".into(),
        roles: roles.iter().map(ToString::to_string).collect(),
        session_id: Uuid::now_v7(),
    }
}

fn bearer(tokens: &Tokens, roles: &[Role]) -> String {
    format!("Bearer {}", tokens.issue(&caller(roles)).unwrap())
}

// proves: SEC-10
#[tokio::test(start_paused = true)]
async fn every_error_is_a_problem() {
    let (router, tokens) = server();
    let customer = bearer(&tokens, &[Role::Customer]);
    let as_customer = [("authorization", customer.as_str())];
    let cases: [(_, _, &[(&str, &str)], _, _); 12] = [
        (Method::GET, "/nowhere", &[], 404, "unknown-route"),
        (Method::GET, "/api/v1/unlisted", &[], 404, "unknown-route"),
        (Method::GET, "/api/v1/products/", &[], 404, "unknown-route"),
        (Method::PATCH, "/api/v1/products", &[], 405, "method-not-allowed"),
        (Method::POST, "/api/v1/products", &[], 401, "unauthorized"),
        (Method::GET, "/api/v1/products", &[("accept", "text/html")], 406, "not-acceptable"),
        (Method::GET, "/api/v1/products/x", &[], 400, "bad-request"),
        (Method::GET, "/api/v1/users/me", &[], 401, "unauthorized"),
        (Method::GET, "/api/v1/users/me", &[("authorization", "Bearer x")], 401, "unauthorized"),
        (Method::POST, "/api/v1/payments/1/refund", &as_customer, 403, "forbidden"),
        (Method::GET, "/health", &[], 500, "internal"),
        (Method::GET, "/health/live", &[], 503, "overloaded"),
    ];
    for (method, path, headers, status, expected) in cases {
        let at = format!("{method} {path}");
        let (response, problem) = send(&router, request(method, path, headers)).await;
        assert_eq!((response.status().as_u16(), code(&problem)), (status, expected), "{at}: {problem}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{at}");
        assert_eq!(problem["status"], status, "{at}");
        assert!(
            !problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty()
        );
        assert_eq!(response.headers().contains_key("allow"), status == 405, "{at}");
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{at}");
        assert_eq!(response.headers().contains_key("retry-after"), status == 503, "{at}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{at}");
    }
}

#[tokio::test]
async fn a_405_names_the_methods_there_are() {
    let (router, _) = server();
    let (response, _) = send(&router, request(Method::DELETE, "/api/v1/products", &[])).await;
    assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
}

// proves: SEC-2
#[tokio::test]
async fn callers_reach_their_handlers() {
    let (router, tokens) = server();
    let customer = bearer(&tokens, &[Role::Customer]);
    let (response, _) =
        send(&router, request(Method::GET, "/api/v1/users/me", &[("authorization", &customer)])).await;
    assert_eq!(response.status(), 200);
    let support = bearer(&tokens, &[Role::Support]);
    let refund = request(Method::POST, "/api/v1/payments/1/refund", &[("authorization", &support)]);
    assert_eq!(send(&router, refund).await.0.status(), 200);
    // A stale token doesn't lock anybody out of the shop window.
    let (response, _) =
        send(&router, request(Method::GET, "/api/v1/products", &[("authorization", "Bearer x")])).await;
    assert_eq!(response.status(), 200);
    let (response, _) = send(&router, request(Method::HEAD, "/api/v1/products", &[])).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn answers_carry_the_request_id_and_security_headers() {
    let (router, _) = server();
    let (response, _) =
        send(&router, request(Method::GET, "/api/v1/products", &[("x-request-id", "mine")])).await;
    assert_eq!(response.headers()["x-request-id"], "mine");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
    let (response, _) =
        send(&router, request(Method::GET, "/docs/index.html", &[("accept", "text/html")])).await;
    assert_eq!(response.status(), 200, "the documentation is no json operation");
    assert!(Uuid::try_parse(response.headers()["x-request-id"].to_str().unwrap()).is_ok());
}

// proves: SEC-10
#[tokio::test]
async fn a_body_that_nobody_wants_is_read_off_before_the_answer() {
    let (router, _) = server();
    let chunks = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = chunks.clone();
    let chunk = move |_| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, std::io::Error>(vec![b' '; 1024 * 1024])
    };
    let body = Body::from_stream(futures::stream::iter((0..10).map(chunk)));
    let login = HttpRequest::post("/api/v1/auth/login").body(body).unwrap();
    let (response, problem) = send(&router, login).await;
    assert_eq!((response.status().as_u16(), code(&problem)), (413, "body-too-large"));
    assert_eq!(chunks.load(std::sync::atomic::Ordering::Relaxed), 10, "all of it was taken from the client");

    let small = HttpRequest::post("/api/v1/auth/login").body(Body::from("x".repeat(100_000))).unwrap();
    assert_eq!(send(&router, small).await.0.status(), 200, "a watched body arrives whole");
}

#[tokio::test(start_paused = true)]
async fn past_the_time_limit_a_command_that_was_issued_is_named() {
    let id = domain::command::CommandId::fresh();
    let handler = async move |context: RequestContext| -> Response {
        context.issues(id);
        std::future::pending().await
    };
    let tokens = Arc::new(Tokens::new(SigningKeys::generate().unwrap(), Arc::new(SystemClock)));
    let router = apply(Router::new().route("/api/v1/auth/login", post(handler)), &conventions(&tokens));
    let (response, problem) = send(&router, request(Method::POST, "/api/v1/auth/login", &[])).await;
    assert_eq!((response.status().as_u16(), code(&problem)), (503, "outcome-unknown"));
    assert_eq!(problem["command_id"], id.to_string());
}

// proves: SEC-10, OPS-3
#[tokio::test(start_paused = true)]
async fn who_comes_when_it_is_full_is_told_at_once_and_health_is_answered() {
    let tokens = Arc::new(Tokens::new(SigningKeys::generate().unwrap(), Arc::new(SystemClock)));
    let reached = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = reached.clone();
    let slow = async move || -> Response {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        std::future::pending().await
    };
    let routes = Router::new()
        .route("/api/v1/products", get(slow.clone()))
        .route("/api/v1/auth/login", post(slow))
        .route("/health/live", get(async || Json(1)));
    let conventions = Conventions { door: Door::new(8), ..conventions(&tokens) };
    let router = apply(routes, &conventions);
    let spawn = |method: Method, path: &'static str| {
        let router = router.clone();
        tokio::spawn(async move { send(&router, request(method, path, &[("x-request-id", "mine")])).await })
    };
    let began = tokio::time::Instant::now();
    let commands: Vec<_> = (0..20).map(|_| spawn(Method::POST, "/api/v1/auth/login")).collect();
    let queries: Vec<_> = (0..20).map(|_| spawn(Method::GET, "/api/v1/products")).collect();
    while conventions.door.turned_away() < 32 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reached.load(std::sync::atomic::Ordering::SeqCst), 8, "nothing is done for the others");
    assert_eq!(send(&router, request(Method::GET, "/health/live", &[])).await.0.status(), 200);
    let is_done = |all: &[tokio::task::JoinHandle<_>]| all.iter().filter(|one| one.is_finished()).count();
    while is_done(&commands) + is_done(&queries) < 32 {
        tokio::task::yield_now().await;
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits to be turned away");
    // Those inside are told at the time limit.
    for one in commands.into_iter().chain(queries) {
        let (response, problem) = one.await.unwrap();
        assert_eq!((response.status().as_u16(), code(&problem)), (503, "overloaded"), "{problem}");
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(response.headers()["x-request-id"], "mine");
    }
    assert_eq!(began.elapsed(), conventions.time_limit);
    assert_eq!(conventions.door.inside(), 0);
}

/// Role × operation over HTTP, in full: nobody, a caller without a role, and every role on every operation.
// proves: SEC-2
#[tokio::test]
async fn the_guard_enforces_the_whole_table() {
    let tokens = Arc::new(Tokens::new(SigningKeys::generate().unwrap(), Arc::new(SystemClock)));
    let mut router = Router::new();
    let operations = operations();
    let paths: std::collections::BTreeSet<_> = operations.iter().map(|operation| &operation.path).collect();
    for path in paths {
        router = router.route(path, axum::routing::any(async || Json("reached")));
    }
    let router = apply(router, &conventions(&tokens));
    let callers = [None, Some(vec![])].into_iter().chain(Role::ALL.map(|role| Some(vec![role])));
    for roles in callers {
        let authorization = roles.as_deref().map(|roles| bearer(&tokens, roles));
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        for operation in &operations {
            let path = operation.path.replace("{id}", "1").replace("{type}", "order");
            let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
            let (response, _) = send(&router, request(method, &path, &headers)).await;
            let expected = match (operation.access.allows(roles.as_deref().map(caller).as_ref()), &roles) {
                (true, _) => 200,
                (false, None) => 401,
                (false, Some(_)) => 403,
            };
            assert_eq!(response.status(), expected, "{roles:?} on {operation:?}");
            // A handler that nobody listed is never reached, whatever the router has.
            let (response, _) = send(&router, request(Method::PATCH, &path, &headers)).await;
            assert_eq!(response.status(), 405, "{path}");
        }
    }
}
