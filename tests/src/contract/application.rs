//! What every application has from the platform, shown with another one than the shop ([`crate::board`]), whatever its backends are.

use std::path::Path;

use infra::application::Application;
use infra::backends;
use infra::config::{Config, Layers};
use infra::serve::{Running, bind, start};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::board;
use crate::client::{Client, Reply};
use crate::shop::ok;

/// The configuration of a board in a directory, with these settings beside.
fn config(dir: &Path, settings: &[(&str, String)]) -> Config {
    let mut flags = vec![
        ("data.dir".to_owned(), dir.display().to_string()),
        ("http.listen".to_owned(), "127.0.0.1:0".to_owned()),
        ("http.admin_listen".to_owned(), "off".to_owned()),
        ("log.shards".to_owned(), "4".to_owned()),
    ];
    flags.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Layers { flags, ..Layers::default() }.load().expect("the configuration is one")
}

async fn run(application: &Application, config: &Config) -> (Running, CancellationToken, Client) {
    let shutdown = CancellationToken::new();
    let listener = bind(config.http.listen).await.expect("an address");
    let running = start(application, config, listener, shutdown.clone()).await.expect("it starts");
    let client = Client::new(&format!("http://{}", running.address));
    (running, shutdown, client)
}

/// A note is decided, projected, listed, documented and kept over a restart; the shop's operations aren't there.
///
/// # Panics
/// When something of that isn't so.
pub async fn another_application_has_all_of_the_platform(dir: &Path, settings: &[(&str, String)]) {
    let config = config(dir, settings);
    let application = board::application(&config);
    backends::migrate(&application, &config).await.expect("its backends can be prepared");
    let (running, shutdown, client) = run(&application, &config).await;

    let pin = |text: &str, key: &str| client.post("/api/v1/notes", &json!({ "text": text })).key(key);
    let pinned = ok(pin("Milk", "one").send().await).expect(201);
    let again = ok(pin("Milk", "one").send().await).expect(201);
    assert_eq!((again.id(), again.header("idempotency-replayed")), (pinned.id(), "true"));
    assert_eq!(ok(pin("Bread", "one").send().await).problem(), "idempotency-key-reused");
    let other = ok(pin("Bread", "two").send().await).expect(201);
    let empty = ok(pin("", "three").send().await);
    assert_eq!((empty.status, empty.text_at("/errors/0/pointer")), (422, "/text"));
    let one = format!("/api/v1/notes/{}", pinned.id());
    let seen = |reply: &Reply| reply.header("sync-token").to_owned();
    let read = ok(client.call(reqwest::Method::GET, &one).seen(&seen(&pinned)).send().await).expect(200);
    assert_eq!((read.body.clone(), read.header("etag")), (pinned.body.clone(), pinned.header("etag")));
    let down = ok(client.call(reqwest::Method::DELETE, &one).send().await).expect(200);
    assert_eq!(ok(client.call(reqwest::Method::DELETE, &one).send().await).problem(), "note-not-found");

    let document = ok(client.get("/api/v1/openapi.json").await).expect(200);
    assert!(document.body["paths"]["/api/v1/notes"]["post"]["operationId"] == "pin_note");
    assert!(document.body["paths"]["/api/v1/audit/events"].is_object(), "auditors see it too");
    assert!(document.body["paths"]["/api/v1/orders"].is_null(), "it is no shop");
    assert_eq!(ok(client.get("/api/v1/orders").await).problem(), "unknown-route");
    assert_eq!(ok(client.get("/api/v1/audit/events").await).status, 401);
    ok(client.get("/health/ready").await).expect(200);
    shutdown.cancel();
    running.ended().await.expect("it ends in order");

    let (running, shutdown, client) = run(&application, &config).await;
    let listed = client.call(reqwest::Method::GET, "/api/v1/notes?limit=1").seen(&seen(&down));
    let listed = ok(listed.send().await).expect(200);
    assert_eq!(listed.body["items"], json!([other.body]));
    assert_eq!(listed.body["next_cursor"], json!(null));
    shutdown.cancel();
    running.ended().await.expect("it ends in order");
}
