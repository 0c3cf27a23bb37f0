//! Accounts, sessions and profiles against the real binary: sign-up, login, rotation, and what is never kept in the clear.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use reqwest::Method;
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::server::{Server, Start, shop};

const PASSWORD: &str = "correct horse battery";

fn serve() -> (Server, tests::server::Place) {
    let (temp, dir, _) = shop();
    (Start::serve(&dir).start().unwrap(), temp)
}

fn person(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "name": "Ada"})
}

async fn post(client: &Client, path: &str, body: &Value) -> Reply {
    client.post(path, body).send().await.unwrap()
}

/// A problem of this status and code.
#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.problem()), (status, code), "{}", reply.text);
    assert!(reply.header("content-type").starts_with("application/problem+json"), "{reply:?}");
}

fn pointers(reply: &Reply) -> Vec<String> {
    let errors = reply.body["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

// proves: USR-1
#[tokio::test(flavor = "multi_thread")]
async fn signing_up_takes_an_address_once() {
    let (server, _temp) = serve();
    let anyone = server.client();
    let paths = ["/api/v1/users", "/api/v1/auth/signup", "/api/v1/auth/register"];
    for (n, path) in paths.into_iter().enumerate() {
        let made = post(&anyone, path, &person(&format!("ada{n}@example.org"))).await.expect(201);
        assert_eq!(made.text_at("/email"), format!("ada{n}@example.org"));
        assert_eq!((made.text_at("/name"), &made.body["roles"]), ("Ada", &json!(["customer"])));
        assert!(!made.header("sync-token").is_empty() && !made.header("location").is_empty());
        assert!(!made.text.contains("horse"), "no password is echoed");
    }
    for spelling in ["ada0@example.org", "ADA0@Example.ORG", "  ada0@example.org "] {
        refused(&post(&anyone, paths[1], &person(spelling)).await, 409, "email-taken");
    }

    // A repeat under one key is the same user; the same key in another scope is another command.
    let keyed = async |body: &Value, key: &str| anyone.post(paths[0], body).key(key).send().await.unwrap();
    let first = keyed(&person("bob@example.org"), "k").await.expect(201);
    let repeat = keyed(&person("bob@example.org"), "\"k\"").await.expect(201);
    assert_eq!((first.body.clone(), repeat.header("idempotency-replayed")), (repeat.body.clone(), "true"));
    let other = json!({"email": "bob@example.org", "password": PASSWORD, "name": "Bob"});
    refused(&keyed(&other, "k").await, 422, "idempotency-key-reused");
    refused(&keyed(&person("bob@example.org"), "l").await, 409, "email-taken");
    refused(&keyed(&person("eve@example.org"), &"k".repeat(256)).await, 400, "idempotency-key-malformed");

    // Of simultaneous sign-ups with one address one wins.
    let calls = (0..8).map(|n| {
        let body = json!({"email": "race@example.org", "password": PASSWORD, "name": format!("Racer {n}")});
        let anyone = anyone.clone();
        async move { post(&anyone, "/api/v1/users", &body).await.status }
    });
    let mut statuses = futures::future::join_all(calls).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);

    let bad = json!({"email": "nobody", "password": "short", "name": " ", "roles": ["admin"]});
    let reply = post(&anyone, "/api/v1/users", &bad).await;
    refused(&reply, 422, "validation-failed");
    assert_eq!(pointers(&reply), ["/email", "/password", "/name", "/roles"]);
    assert!(!reply.text.contains("short"));
}

// proves: USR-3
#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_rotate_and_reuse_ends_the_session() {
    let (server, _temp) = serve();
    let anyone = server.client();
    let _ = post(&anyone, "/api/v1/users", &person("ada@example.org")).await.expect(201);
    let login = json!({"email": "ADA@example.org", "password": PASSWORD});
    let session = post(&anyone, "/api/v1/auth/login", &login).await.expect(200);
    assert_eq!((session.text_at("/token_type"), session.number_at("/expires_in")), ("Bearer", 900));
    for wrong in [
        json!({"email": "ada@example.org", "password": "wrong"}),
        json!({"email": "nobody@example.org", "password": PASSWORD}),
    ] {
        let reply = post(&anyone, "/api/v1/auth/login", &wrong).await;
        refused(&reply, 401, "invalid-credentials");
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"tillstream\"");
    }

    let refresh =
        async |token: &str| post(&anyone, "/api/v1/auth/refresh", &json!({ "refresh_token": token })).await;
    let old = session.text_at("/refresh_token");
    // A made-up token, even for a session that exists, is no reuse and ends nothing.
    let session_id = old.split('.').next().unwrap();
    for forged in ["x", &format!("{session_id}.abc.def"), &format!("{old}0"), &old.replacen('.', ".A", 1)] {
        refused(&refresh(forged).await, 401, "invalid-refresh-token");
    }
    let second = refresh(old).await.expect(200);
    let second_token = second.text_at("/refresh_token");
    assert_ne!(second_token, old);
    let me = anyone.with_token(second.text_at("/access_token"));
    let _ = me.get("/api/v1/users/me").await.unwrap().expect(200);

    // Repeated under one key, a refresh whose answer was lost gives the same token again.
    let keyed = || anyone.post("/api/v1/auth/refresh", &json!({ "refresh_token": second_token })).key("k");
    let third = keyed().send().await.unwrap().expect(200);
    let again = keyed().send().await.unwrap().expect(200);
    assert_eq!(third.text_at("/refresh_token"), again.text_at("/refresh_token"));

    // Reuse of an old one revokes the family.
    refused(&refresh(old).await, 401, "invalid-refresh-token");
    refused(&refresh(third.text_at("/refresh_token")).await, 401, "invalid-refresh-token");

    let session = post(&anyone, "/api/v1/auth/login", &login).await.expect(200);
    let me = anyone.with_token(session.text_at("/access_token"));
    let ended = me.call(Method::POST, "/api/v1/auth/logout").send().await.unwrap().expect(204);
    assert!(!ended.header("sync-token").is_empty());
    refused(&refresh(session.text_at("/refresh_token")).await, 401, "invalid-refresh-token");
    refused(&post(&anyone, "/api/v1/auth/logout", &json!({})).await, 401, "unauthorized");
}

// proves: USR-2
#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_updated_under_their_version() {
    let (server, _temp) = serve();
    let anyone = server.client();
    let _ = post(&anyone, "/api/v1/users", &person("ada@example.org")).await.expect(201);
    let ada = anyone.login("ada@example.org", PASSWORD).await.unwrap();
    let path = "/api/v1/users/me";
    let put = async |tag: Option<&str>, body: &Value| {
        let call = ada.put(path, body);
        let call = match tag {
            Some(tag) => call.header("if-match", tag),
            None => call,
        };
        call.send().await.unwrap()
    };
    let countess = json!({"name": "Countess"});
    refused(&put(None, &countess).await, 428, "precondition-required");
    refused(&put(Some("1"), &countess).await, 400, "if-match-malformed");
    assert_eq!(put(Some("\"7\""), &countess).await.status, 412);
    assert_eq!(put(Some("W/\"1\""), &countess).await.status, 412);
    refused(&put(Some("\"1\""), &json!({"name": "x", "email": "y"})).await, 422, "validation-failed");

    let renamed = put(Some("\"1\""), &countess).await.expect(200);
    assert_eq!((renamed.text_at("/name"), renamed.text_at("/email")), ("Countess", "ada@example.org"));
    assert_eq!(renamed.header("etag"), "\"2\"");
    let read =
        ada.call(Method::GET, path).seen(renamed.header("sync-token")).send().await.unwrap().expect(200);
    assert_eq!(read.body, renamed.body);
    let unchanged = put(Some("*"), &countess).await.expect(200);
    assert_eq!(unchanged.header("etag"), "\"2\"", "the same name is no change");
    refused(&anyone.put(path, &countess).send().await.unwrap(), 401, "unauthorized");
}

/// Everything that the server has written: data directory and log.
fn written(dir: &std::path::Path, into: &mut Vec<u8>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            written(&path, into);
        } else {
            match std::fs::read(path) {
                Ok(bytes) => into.extend(bytes),
                // The running server replaces files of its search index.
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
            }
        }
    }
}

// proves: SEC-6, SEC-7, USR-1
#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_written_in_the_clear() {
    let (temp, dir, credentials) = shop();
    let server = Start::serve(&dir).set("logging.level", "trace").start().unwrap();
    let admin = server.login(&credentials, "admin").await.unwrap();
    let anyone = server.client();
    let body =
        json!({"email": "canary.mail@example.org", "password": "canary-password", "name": "Canary Name"});
    let _ = anyone.post("/api/v1/users", &body).key("k").send().await.unwrap().expect(201);
    let canary = anyone.login("canary.mail@example.org", "canary-password").await.unwrap();
    let product = json!({
        "sku": "visible-sku", "name": "Mug", "description": "", "category": "mugs",
        "price": {"amount": 100, "currency": "USD"},
    });
    let product = post(&admin, "/api/v1/products", &product).await.expect(201).id();
    let order = |method: &str| {
        json!({
            "items": [{"product_id": product, "quantity": 1}], "payment_method": method,
            "shipping_address": {
                "name": "Canary Recipient", "line1": "1 Canary Street", "city": "Canaryville",
                "postal_code": "CANARY1", "country": "DE",
            },
        })
    };
    let placed = canary.post("/api/v1/orders", &order("tok_visa")).key("a").send().await.unwrap().expect(201);
    assert!(!placed.text.contains("Canary"));
    let card = canary.post("/api/v1/orders", &order("4111111111111111")).key("b").send().await.unwrap();
    refused(&card, 422, "card-number-refused");
    assert!(!card.text.contains("4111"));
    let seen = canary.call(Method::GET, "/api/v1/orders").seen(placed.header("sync-token"));
    let _ = seen.send().await.unwrap().expect(200);

    let mut bytes = Vec::new();
    written(temp.path(), &mut bytes);
    let holds =
        |text: &str| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
    assert!(holds("visible-sku"), "the search itself works");
    for secret in [
        "canary.mail",
        "canary-password",
        "canary name",
        "canary recipient",
        "canary street",
        "canaryville",
        "canary1",
        "4111111111111111",
    ] {
        assert!(!holds(secret), "{secret} is written in the clear");
    }
}
