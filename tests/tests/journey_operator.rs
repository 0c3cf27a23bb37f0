//! The operator's commands on a shop with a history.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::{Duration, Instant};

use tests::server::{Place, Server, Start, shop, tillstream};
use tests::shop::Shop;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A shop with a few settled orders, stopped; answers one order's id.
async fn with_history() -> (Shop, String) {
    let mut shop = Shop::open().await;
    let product = shop.product("OPS-1", 1_000, 100).await;
    let mut last = String::new();
    for method in ["tok_visa", "tok_declined", "tok_visa"] {
        let placed = shop.order(&shop.customer, &product, 1, method).await;
        let _ = shop.settled(&placed.id(), &["paid", "cancelled"]).await;
        last = placed.id();
    }
    assert!(shop.server.terminate().unwrap().success(), "SIGTERM ends it well");
    (shop, last)
}

// proves: AUD-3, EVT-3, P5, P8, OPS-3, ORD-3
#[tokio::test]
async fn verify_history_frame_and_rebuild_work_on_a_stopped_shop() {
    let (mut shop, order) = with_history().await;
    let dir = shop.server.dir.clone();
    let dir = text(&dir);

    let verified = tillstream(&["verify", "--data-dir", dir]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    assert!(verified.out.contains("ok"), "{}", verified.out);

    let history = tillstream(&["history", "order", &order, "--data-dir", dir]);
    assert_eq!(history.code, 0, "{}", history.err);
    for event in ["order.placed", "order.stock_reserved", "order.paid", "saga:fulfilment"] {
        assert!(history.out.contains(event), "{event} is missing in\n{}", history.out);
    }
    let lines = tillstream(&["history", "order", &order, "--json", "--data-dir", dir]).out;
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((first["type"].as_str(), first["version"].as_u64()), (Some("order.placed"), Some(1)));
    assert_ne!(tillstream(&["history", "order", "nobody", "--data-dir", dir]).code, 0);

    let (shard, _) = first["position"].as_str().unwrap().split_once(':').unwrap();
    let frame = tillstream(&["frame", shard, "1", "--data-dir", dir]);
    assert_eq!(frame.code, 0, "{}", frame.err);
    assert!(frame.out.contains("previous hash") && frame.out.contains("epoch"), "{}", frame.out);

    // From empty, and beside the live ones: the same rows, so the same digests.
    let rebuilt = tillstream(&["rebuild", "--data-dir", dir]);
    assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.out, rebuilt.err);
    for projection in
        ["orders", "products", "inventory", "payments", "shipments", "users", "events", "search"]
    {
        let line = rebuilt.out.lines().find(|line| line.trim_start().starts_with(projection));
        assert!(line.is_some_and(|line| line.contains("equal")), "{projection} in\n{}", rebuilt.out);
    }
    assert_ne!(tillstream(&["rebuild", "horoscopes", "--data-dir", dir]).code, 0);

    let conserved = tillstream(&["conservation", "--data-dir", dir]);
    assert_eq!(conserved.code, 0, "{}{}", conserved.out, conserved.err);
    assert!(conserved.out.contains("in every copy"), "{}", conserved.out);

    // And the shop goes on with what was rebuilt.
    shop.restart();
    let order = shop.settled(&order, &["paid"]).await;
    assert_eq!(order.text_at("/payment/status"), "captured");
}

// proves: AUD-3, P8
#[tokio::test]
async fn one_flipped_byte_of_a_stored_event_is_named_by_shard_and_position() {
    let (shop, order) = with_history().await;
    let dir = shop.server.dir.clone();
    let lines = tillstream(&["history", "order", &order, "--json", "--data-dir", text(&dir)]).out;
    let event: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    let (kind, position) = (event["type"].as_str().unwrap(), event["position"].as_str().unwrap());

    // In the database's own bytes, as a disk would do it: a letter of this very event's type.
    let id = uuid::Uuid::parse_str(event["id"].as_str().unwrap()).unwrap();
    let db = rusqlite::Connection::open(dir.join("log.db")).unwrap();
    let (slot, mut bytes): (i64, Vec<u8>) = db
        .query_row("SELECT slot, bytes FROM log WHERE instr(bytes, ?1) > 0", [&id.as_bytes()[..]], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let start = bytes.windows(16).position(|window| window == id.as_bytes()).unwrap();
    let at = start + bytes[start..].windows(kind.len()).position(|window| window == kind.as_bytes()).unwrap();
    bytes[at] ^= 1;
    db.execute("UPDATE log SET bytes = ?1 WHERE slot = ?2", (&bytes, slot)).unwrap();
    drop(db);

    let verified = tillstream(&["verify", "--data-dir", text(&dir)]);
    assert_eq!(verified.code, 1, "{}", verified.out);
    assert!(verified.out.contains(&format!("first fault {position}")), "{position} in\n{}", verified.out);
}

// proves: P1
#[tokio::test]
async fn a_directory_in_use_is_refused_to_a_second_server() {
    let shop = Shop::open().await;
    let error = shop.start.start().unwrap_err().to_string();
    assert!(error.contains("in use by another tillstream process"), "{error}");
    assert!(error.contains(text(&shop.server.dir)), "{error}");
    // Reading beside it is fine.
    assert_eq!(tillstream(&["verify", "--data-dir", text(&shop.server.dir)]).code, 0);
    assert_eq!(shop.server.client().get("/health/ready").await.unwrap().status, 200);
}

const ACCOUNTS: [&str; 8] =
    ["admin", "warehouse", "analyst", "auditor", "support", "customer", "operator", "service"];

/// Everybody in a credentials file can log in, and is what the account's name says.
async fn all_can_log_in(server: &Server, credentials: &Path) {
    for account in ACCOUNTS {
        let client = server.login(credentials, account).await.unwrap();
        let me = client.get("/api/v1/users/me").await.unwrap().expect(200);
        assert_eq!(me.body["roles"], serde_json::json!([account]));
    }
}

/// Strangers may sign up with any address, also before the shop is set up. That makes nobody an administrator, and keeps nobody out.
// proves: OPS-1, SEC-2
#[tokio::test]
async fn a_stranger_with_the_administrators_address_locks_nobody_out() {
    let place = Place::new();
    let (dir, credentials) = (place.data(), place.path().join("credentials.json"));
    let mut server = Start::serve(&dir).start().unwrap();
    for name in ["admin", "support", "customer"] {
        let email = format!("{name}@tillstream.example");
        let body = serde_json::json!({"email": email, "password": "a stranger's own", "name": name});
        server.client().post("/api/v1/users", &body).send().await.unwrap().expect(201);
    }
    assert!(server.terminate().unwrap().success());
    let verified = |what: &str| {
        let ended = tillstream(&["verify", "--data-dir", text(&dir)]);
        assert_eq!(ended.code, 0, "{what}: {}{}", ended.out, ended.err);
        ended.out
    };
    let before = verified("before");
    let bootstrap = ["bootstrap", "--data-dir", text(&dir), "--credentials", text(&credentials)];
    let refused = tillstream(&bootstrap);
    assert_ne!(refused.code, 0, "{}", refused.out);
    for held in ["admin@tillstream.example", "support@tillstream.example", "customer@tillstream.example"] {
        assert!(refused.err.contains(held), "{held} in {}", refused.err);
    }
    assert!(!refused.err.contains("warehouse@"), "{}", refused.err);
    assert!(
        refused.err.contains("--domain") && refused.err.contains("nothing was changed"),
        "{}",
        refused.err
    );
    assert!(!credentials.exists(), "a refusal writes nothing");
    let events = |out: &str| out.lines().find(|line| line.contains("events")).map(str::to_owned);
    assert_eq!(events(&verified("after")), events(&before), "nor into the log");

    let done = tillstream(&[&bootstrap[..], &["--domain", "shop.example"]].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    let server = Start::serve(&dir).start().unwrap();
    all_can_log_in(&server, &credentials).await;
    drop(server);
    let other = place.path().join("other.json");
    let again = tillstream(&[
        "bootstrap",
        "--data-dir",
        text(&dir),
        "--credentials",
        text(&other),
        "--domain",
        "x.example",
    ]);
    assert!(again.code != 0 && again.err.contains("administrator exists"), "{}", again.err);
    assert!(!other.exists(), "a refusal writes nothing");
}

/// `kill -9` at any moment of it.
// proves: OPS-1, SEC-2
#[tokio::test]
async fn a_bootstrap_that_was_cut_short_is_repeated() {
    let place = Place::new();
    let (dir, credentials) = (place.data(), place.path().join("credentials.json"));
    let bootstrap = ["bootstrap", "--data-dir", text(&dir), "--credentials", text(&credentials)];
    let mut first: Option<String> = None;
    for wait in [0, 20, 60, 120] {
        let mut command = std::process::Command::new(tests::server::binary());
        let mut child = tests::server::clean(&mut command)
            .args(bootstrap)
            .args(tests::server::configuration(&dir))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !credentials.exists() && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "waited in vain for the file");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let _ = child.kill();
        child.wait().unwrap();
        let written = std::fs::read_to_string(&credentials).unwrap();
        assert_eq!(first.get_or_insert_with(|| written.clone()), &written, "the passwords stay");
    }
    // On the engines, the run that was killed counts as an owner for some seconds more.
    let started = Instant::now();
    loop {
        let last = tillstream(&bootstrap);
        if last.code == 0 || last.err.contains("administrator exists") {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{}", last.err);
    }
    let server = Start::serve(&dir).start().unwrap();
    all_can_log_in(&server, &credentials).await;
}

// proves: OPS-1, SEC-2
#[test]
fn bootstrap_makes_the_accounts_once() {
    let (temp, dir, credentials) = shop();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&credentials).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let all: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&credentials).unwrap()).unwrap();
    for account in ACCOUNTS {
        assert!(all[account]["email"].is_string() && all[account]["password"].is_string(), "{account}");
    }
    let other = temp.path().join("other.json");
    let again = tillstream(&["bootstrap", "--data-dir", text(&dir), "--credentials", text(&other)]);
    assert_ne!(again.code, 0);
    assert!(again.err.contains("administrator exists"), "{}", again.err);
    assert!(!other.exists(), "a refusal writes nothing");
}

// proves: OPS-2, OPS-8
#[test]
fn what_can_t_be_configured_is_refused_in_one_line() {
    let temp = tempfile::tempdir().unwrap();
    let dir = text(temp.path());
    let cases: [(&[&str], &str); 6] = [
        (&["serve", "--role", "sagas"], "embedded"),
        (&["serve", "--role", "baker"], "baker"),
        (&["serve", "--set", "log.url=cassandra://db1/shop"], "don't work together"),
        (&["serve", "--set", "http.lisen=1"], "http.lisen"),
        (&["serve", "--set", "log.shards=0"], "log.shards"),
        (&["verify"], "store"),
    ];
    for (args, reason) in cases {
        let ended = tillstream(&[args, &["--data-dir", dir]].concat());
        assert_ne!(ended.code, 0, "{args:?}");
        assert!(ended.err.contains(reason), "{args:?}: {}", ended.err);
        assert!(ended.err.trim_end().lines().count() <= 2, "{args:?}: {}", ended.err);
    }
    let reference = tillstream(&["config"]);
    assert!(reference.out.contains("http.listen") && reference.out.contains("TILLSTREAM_HTTP_LISTEN"));
    assert!(tillstream(&["openapi"]).out.contains("\"3.1."));
}

// proves: OPS-2
#[tokio::test]
async fn a_graceful_stop_answers_what_was_accepted() {
    let mut shop = Shop::open().await;
    let product = shop.product("STOP-1", 1_000, 1_000).await;
    let calls: Vec<_> = (0..32)
        .map(|n| {
            let body = tests::shop::order_of(&product, 1, "tok_visa");
            let call = shop.customer.post("/api/v1/orders", &body).key(&format!("stop-{n}"));
            tokio::spawn(async move { call.send().await.map(|reply| (reply.status, reply.id())) })
        })
        .collect();
    let mut acknowledged = Vec::new();
    let mut calls = calls.into_iter();
    acknowledged.extend(calls.next().unwrap().await.unwrap().ok());
    tests::server::send("TERM", shop.server.pid()).unwrap();
    for call in calls {
        // Refused connections are those that it never accepted.
        acknowledged.extend(call.await.unwrap().ok());
    }
    assert!(shop.server.wait(tests::shop::SETTLES_WITHIN).unwrap().success());
    assert!(acknowledged.iter().all(|(status, _)| matches!(status, 201 | 503)), "{acknowledged:?}");
    shop.restart();
    let mut placed: Vec<String> =
        acknowledged.into_iter().filter(|(status, _)| *status == 201).map(|(_, id)| id).collect();
    for id in &placed {
        let _ = shop.settled(id, &["paid"]).await;
    }
    // Whoever got no answer has no order either: nothing that was accepted was cut off.
    let orders = tests::shop::pages(&shop.customer, "/api/v1/orders?limit=100").await;
    let mut found: Vec<&str> = orders.iter().map(|order| order["id"].as_str().unwrap()).collect();
    placed.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, placed);
}

// proves: OPS-3
#[tokio::test]
async fn logs_are_json_with_a_correlation_id_when_asked_for() {
    let mut shop = Shop::open_with(|start: Start| start.set("logging.format", "json")).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let call = shop.customer.call(reqwest::Method::GET, "/api/v1/orders");
    let _ = call
        .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
        .send()
        .await
        .unwrap()
        .expect(200);
    assert!(shop.server.terminate().unwrap().success());
    let log = std::fs::read_to_string(shop.server.dir.with_extension("log")).unwrap();
    let id = uuid::Uuid::parse_str(trace).unwrap().to_string();
    let found = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .any(|line| line.pointer("/span/correlation_id").and_then(|v| v.as_str()) == Some(&id));
    assert!(found, "{log}");
}

// proves: OPS-2
#[tokio::test]
async fn ctrl_c_ends_at_once_what_a_slow_client_holds_up() {
    use tokio::io::AsyncWriteExt as _;

    let mut shop = Shop::open_with(|start: Start| start.set("http.drain", "2m")).await;
    let address = shop.server.base.strip_prefix("http://").unwrap().to_owned();
    let mut slow = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = "POST /api/v1/users HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    // Answered after the slow one was accepted, so that one is being served by now.
    assert_eq!(shop.server.client().get("/health/live").await.unwrap().status, 200);

    tests::server::send("TERM", shop.server.pid()).unwrap();
    tests::server::eventually("connections to be refused", tests::shop::SETTLES_WITHIN, || async {
        tokio::net::TcpStream::connect(&address).await.is_err().then_some(())
    })
    .await;
    // A supervisor that asks twice doesn't mean it more: the request that was accepted is still waited for.
    tests::server::send("TERM", shop.server.pid()).unwrap();
    slow.write_all(b" ").await.unwrap();
    tests::server::send("INT", shop.server.pid()).unwrap();
    assert_eq!(shop.server.wait(tests::shop::SETTLES_WITHIN).unwrap().code(), Some(130));
    drop(slow);
}
