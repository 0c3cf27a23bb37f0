//! Serving within this process: the caller owns the socket and the shutdown signal.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use infra::application::Application;
use infra::config::{Config, Layers};
use infra::serve::{bind, start};
use tests::client::Client;
use tests::shop::ok;
use tokio_util::sync::CancellationToken;

/// The shop as it is configured from the start.
fn shop() -> Application {
    infra::shop::application(&Config::default())
}

fn config(dir: &Path) -> Config {
    let flags = [
        ("data.dir", dir.to_str().unwrap()),
        ("http.listen", "127.0.0.1:0"),
        ("http.admin_listen", "off"),
        ("log.shards", "4"),
        ("payments.url", "simulator:"),
        ("carrier.url", "simulator:"),
    ];
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Layers { flags, ..Layers::default() }.load().unwrap()
}

// proves: OPS-2, OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_lets_go_of_everything_when_it_ends() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(&temp.path().join("data"));
    for _ in 0..3 {
        let shutdown = CancellationToken::new();
        let listener = bind(config.http.listen).await.unwrap();
        let running = start(&shop(), &config, listener, shutdown.clone()).await.unwrap();
        let client = Client::new(&format!("http://{}", running.address));
        for path in ["/health/live", "/health/ready"] {
            assert_eq!(ok(client.get(path).await).expect(200).text_at("/status"), "up");
        }
        let told = std::fs::read_to_string(config.data.dir.join("address")).unwrap();
        assert_eq!(told.trim(), running.address.to_string());
        shutdown.cancel();
        running.ended().await.unwrap();
    }
}

// proves: OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_of_every_projection_and_position() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(&temp.path().join("data"));
    let shutdown = CancellationToken::new();
    let running =
        start(&shop(), &config, bind(config.http.listen).await.unwrap(), shutdown.clone()).await.unwrap();
    let client = Client::new(&format!("http://{}", running.address));
    let body = serde_json::json!({ "email": "kim@example.com", "password": "a long secret", "name": "Kim" });
    ok(client.post("/api/v1/users", &body).send().await).expect(201);
    let health = ok(client.get("/health").await).expect(200).body;
    assert_eq!(health["log"]["heads"].as_array().unwrap().len(), 4);
    assert!(
        health["log"]["heads"].as_array().unwrap().iter().any(|head| !head.as_str().unwrap().ends_with(":0"))
    );
    for name in
        ["events", "inventory", "orders", "payments", "products", "sagas", "search", "shipments", "users"]
    {
        let projections = health["projections"].as_array().unwrap();
        let projection = projections.iter().find(|p| p["name"] == name).unwrap();
        assert_eq!(projection["state"], "running", "{name}");
        assert_eq!(projection["parked_streams"], 0);
        assert!(projection["lag_events"].is_u64() && projection["lag_seconds"].is_number());
        assert_eq!(projection["seen"].as_array().unwrap().len(), 4);
    }
    shutdown.cancel();
    running.ended().await.unwrap();
}

/// With new keys nobody's address would be found and nothing personal could be read, for ever.
// proves: SEC-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_store_is_not_opened_without_its_keys() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(&temp.path().join("data"));
    let start = async |shutdown: &CancellationToken| {
        start(&shop(), &config, bind(config.http.listen).await.unwrap(), shutdown.clone()).await
    };
    let shutdown = CancellationToken::new();
    let running = start(&shutdown).await.unwrap();
    let client = Client::new(&format!("http://{}", running.address));
    let body = serde_json::json!({ "email": "kim@example.com", "password": "a long secret", "name": "Kim" });
    ok(client.post("/api/v1/users", &body).send().await).expect(201);
    shutdown.cancel();
    running.ended().await.unwrap();

    let (keys, aside) = (config.data.dir.join("keys.db"), temp.path().join("keys.db"));
    std::fs::rename(&keys, &aside).unwrap();
    let shutdown = CancellationToken::new();
    let Err(refused) = start(&shutdown).await else { panic!("it was opened with new keys") };
    assert!(refused.to_string().contains("keys.db is missing"), "{refused}");
    assert!(!keys.exists());
    std::fs::rename(&aside, &keys).unwrap();
    let running = start(&shutdown).await.unwrap();
    shutdown.cancel();
    running.ended().await.unwrap();
}

// proves: OPS-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_and_its_page_are_served_without_any_outside_resource() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(&temp.path().join("data"));
    let shutdown = CancellationToken::new();
    let running =
        start(&shop(), &config, bind(config.http.listen).await.unwrap(), shutdown.clone()).await.unwrap();
    let client = Client::new(&format!("http://{}", running.address));

    let document = ok(client.get("/api/v1/openapi.json").await).expect(200);
    assert_eq!(document.body, serde_json::to_value(infra::http::openapi(&shop())).unwrap());

    let page = ok(client.call(reqwest::Method::GET, "/docs/").header("accept", "text/html").send().await)
        .expect(200);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    let mut assets = 0;
    for reference in
        page.text.split(['"', '\'']).filter(|part| part.starts_with("./") || part.contains("://"))
    {
        let path = reference.strip_prefix("./").unwrap_or_else(|| panic!("{reference} is somewhere else"));
        ok(client.get(&format!("/docs/{path}")).await).expect(200);
        assets += 1;
    }
    assert!(assets > 2, "{}", page.text);
    let setup = ok(client.get("/docs/swagger-initializer.js").await).expect(200).text;
    assert!(setup.contains("/api/v1/openapi.json") && !setup.contains("://"), "{setup}");
    shutdown.cancel();
    running.ended().await.unwrap();
}
