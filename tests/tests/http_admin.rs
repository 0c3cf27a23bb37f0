//! The operators' own listener, and the door of the shop's: a crowd is told that there is no room, to the last one, and the operators
//! are answered meanwhile.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::path::Path;

use infra::config::Layers;
use infra::serve::{ADMIN_ADDRESS_FILE, Running, bind, start};
use tests::client::{Client, Reply};
use tests::metrics::{number, value};
use tests::server::eventually;
use tests::shop::{SETTLES_WITHIN, ok};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

struct World {
    running: Running,
    shutdown: CancellationToken,
    temp: tempfile::TempDir,
}

impl World {
    async fn start(admin: &str, more: &[(&str, &str)]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let flags = [
            ("data.dir", dir.to_str().unwrap()),
            ("http.listen", "127.0.0.1:0"),
            ("http.admin_listen", admin),
            ("log.shards", "2"),
            ("payments.url", "simulator:"),
            ("carrier.url", "simulator:"),
        ];
        let flags = flags.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let config = Layers { flags: flags.collect(), ..Layers::default() }.load().unwrap();
        let shutdown = CancellationToken::new();
        let listener = bind(config.http.listen).await.unwrap();
        Self {
            running: start(&infra::shop::application(&config), &config, listener, shutdown.clone())
                .await
                .unwrap(),
            shutdown,
            temp,
        }
    }

    fn shop(&self) -> Client {
        client(self.running.address)
    }

    fn told(&self) -> Option<SocketAddr> {
        let file = self.temp.path().join("data").join(ADMIN_ADDRESS_FILE);
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(SETTLES_WITHIN, self.running.ended()).await.unwrap().unwrap();
    }
}

fn client(address: SocketAddr) -> Client {
    Client::new(&format!("http://{address}"))
}

async fn is_hidden(client: &Client, path: &str) {
    let reply = ok(client.get(path).await).expect(404);
    assert_eq!(reply.problem(), "unknown-route", "{path}");
}

/// How the server is, in full.
async fn is_told(client: &Client) {
    let health = ok(client.get("/health").await).expect(200);
    assert!(health.body["log"]["heads"].is_array(), "{}", health.text);
    let metrics = ok(client.get("/metrics").await).expect(200);
    assert!(metrics.text.contains("tillstream_http_requests_in_progress"), "{}", metrics.text);
}

/// What a load balancer asks, which tells nothing else.
async fn is_alive(client: &Client) {
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(ok(client.get(path).await).expect(200).text, r#"{"status":"up"}"#);
    }
}

// proves: OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_have_a_listener_of_their_own_and_everybody_else_sees_no_detail() {
    let world = World::start("127.0.0.1:0", &[]).await;
    let admin = world.running.admin.unwrap();
    assert_eq!(world.told(), Some(admin));
    is_told(&client(admin)).await;
    is_alive(&client(admin)).await;
    is_alive(&world.shop()).await;
    is_hidden(&world.shop(), "/health").await;
    is_hidden(&world.shop(), "/metrics").await;
    // Operators only look.
    is_hidden(&client(admin), "/api/v1/products").await;
    let file = world.temp.path().join("data").join(ADMIN_ADDRESS_FILE);
    let temp = world.stop_keeping().await;
    assert!(!file.exists(), "it names nobody any more");
    drop(temp);
}

impl World {
    async fn stop_keeping(self) -> tempfile::TempDir {
        self.shutdown.cancel();
        tokio::time::timeout(SETTLES_WITHIN, self.running.ended()).await.unwrap().unwrap();
        self.temp
    }
}

// proves: OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_such_a_listener_the_same_machine_is_told_and_nobody_else() {
    let world = World::start("off", &[]).await;
    assert_eq!((world.running.admin, world.told()), (None, None));
    is_told(&world.shop()).await;
    is_alive(&world.shop()).await;
    for path in ["/health", "/metrics"] {
        // A proxy on the same machine speaks for somebody elsewhere.
        let reply = world.shop().call(reqwest::Method::GET, path).header("x-forwarded-for", "192.0.2.1");
        assert_eq!(ok(reply.send().await).status, 404, "{path}");
    }
    world.stop().await;
}

// proves: OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_another_process_has_is_taken_when_it_is_free() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap();
    let world = World::start(&address.to_string(), &[]).await;
    assert_eq!((world.running.admin, world.told()), (None, None));
    is_told(&world.shop()).await;
    drop(other);
    eventually("the operators' listener", SETTLES_WITHIN, async || world.told()).await;
    assert_eq!(world.told(), Some(address));
    is_told(&client(address)).await;
    is_hidden(&world.shop(), "/metrics").await;
    world.stop().await;
}

/// The figures of requests and frames move on, under the templates of the routes and never under what callers make up.
// proves: OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_told_by_operation_and_frames_too() {
    let world = World::start("127.0.0.1:0", &[]).await;
    let (shop, admin) = (world.shop(), client(world.running.admin.unwrap()));
    let metrics = async || ok(admin.get("/metrics").await).expect(200).text;
    let frames = |metrics: &str, name: &str| value::<f64>(metrics, name).unwrap();
    let timed = |part: &str, operation: &str, status: &str| {
        let (method, route) = operation.split_once(' ').unwrap();
        format!(
            "http_request_duration_seconds_{part}{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        )
    };
    let before = metrics().await;
    assert_eq!(value::<u64>(&before, &timed("count", "POST /api/v1/users", "2xx")), None);

    for n in 0..3 {
        let email = format!("kim{n}@example.com");
        let body = serde_json::json!({ "email": email, "password": "a long secret", "name": "Kim" });
        ok(shop.post("/api/v1/users", &body).send().await).expect(201);
    }
    let nothing = uuid::Uuid::new_v4();
    for _ in 0..2 {
        ok(shop.get(&format!("/api/v1/products/{nothing}")).await).expect(404);
    }
    ok(shop.get(&format!("/{nothing}")).await).expect(404);

    let after = metrics().await;
    assert_eq!(number(&after, &timed("count", "POST /api/v1/users", "2xx")), 3);
    assert!(value::<f64>(&after, &timed("sum", "POST /api/v1/users", "2xx")).unwrap() > 0.0);
    assert_eq!(number(&after, &timed("count", "GET /api/v1/products/{id}", "4xx")), 2);
    assert_eq!(number(&after, &timed("count", "other other", "4xx")), 1);
    assert!(!after.contains(&nothing.to_string()), "{after}");
    for name in ["owner_frame_events_count", "owner_frame_bytes_sum", "owner_decide_seconds_count"] {
        assert!(frames(&after, name) > frames(&before, name), "{name} in {after}");
    }
    let events = |metrics: &str| frames(metrics, "owner_frame_events_sum");
    assert!(events(&after) >= events(&before) + 3.0, "{after}");
    // Each has its meaning, so it stands in the one list of them.
    let lines: Vec<&str> = after.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        if let Some((name, _)) = line.strip_prefix("# TYPE ").and_then(|of| of.split_once(' ')) {
            assert!(lines[n - 1].starts_with(&format!("# HELP {name} ")), "{name} isn't described");
        }
    }
    world.stop().await;
}

/// More callers at once than there is room for, each with a connection of its own.
// proves: SEC-10, OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_answered_to_the_last_one_and_never_more_than_so_many_at_once() {
    const CROWD: usize = 600;
    let room = [
        ("http.max_requests", "4"),
        ("http.max_connections", "512"),
        ("http.max_connections_per_peer", "64"),
    ];
    let world = World::start("127.0.0.1:0", &room).await;
    let admin = client(world.running.admin.unwrap());
    let body = serde_json::json!({ "email": "kim@example.com", "password": "a long secret", "name": "Kim" });
    ok(world.shop().post("/api/v1/users", &body).send().await).expect(201);
    let login = serde_json::json!({ "email": "kim@example.com", "password": "a long secret" });
    let callers: Vec<Client> = (0..CROWD).map(|_| world.shop()).collect();
    let crowd: Vec<_> =
        callers.iter().map(|caller| caller.post("/api/v1/auth/login", &login).send()).collect();
    let watch = async {
        loop {
            let metrics = ok(admin.get("/metrics").await).expect(200).text;
            assert!(number(&metrics, "http_requests_in_progress") <= 4, "{metrics}");
            assert!(number(&metrics, "http_connections_open") <= 64, "{metrics}");
            is_alive(&admin).await;
        }
    };
    let answers: Vec<Reply> = tokio::select! {
        answers = futures::future::join_all(crowd) => answers.into_iter().map(ok).collect(),
        () = watch => unreachable!("it watches for ever"),
    };
    let (mut taken, mut refused) = (0, 0);
    for answer in answers {
        match answer.status {
            200 => taken += 1,
            _ => {
                assert_eq!((answer.status, answer.problem()), (503, "overloaded"), "{}", answer.text);
                assert!(answer.header("retry-after").parse::<u64>().is_ok());
                refused += 1;
            }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
    let metrics = ok(admin.get("/metrics").await).expect(200).text;
    let turned_away = number(&metrics, "http_requests_turned_away_total");
    let told = number(&metrics, "http_connections_told_total");
    assert_eq!(turned_away + told, refused, "{metrics}");
    assert_eq!(number(&metrics, "http_connections_dropped_total"), 0);
    // They keep their connections until they leave.
    drop(callers);
    eventually("room for one more", SETTLES_WITHIN, async || {
        (ok(world.shop().get("/health/live").await).status == 200).then_some(())
    })
    .await;
    world.stop().await;
}

/// No part of the product makes an answer 503 by itself: the one place that does gives it a type of the contract and a `Retry-After`.
// proves: OPS-3, ORD-1
#[test]
fn every_503_is_made_in_one_place() {
    fn walk(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let name = path.to_string_lossy().replace('\\', "/");
            if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut code = text.split("#[cfg(test)]").next().unwrap().lines();
                if code.any(|line| line.contains("SERVICE_UNAVAILABLE") && !line.trim().starts_with("//")) {
                    found.push(name.rsplit_once("/../").unwrap().1.to_owned());
                }
            }
        }
    }
    let mut found = Vec::new();
    for part in ["domain", "command-api", "projections", "query-api", "sagas", "infra"] {
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(part).join("src"), &mut found);
    }
    let one_place = "command-api/src/web/unserved.rs";
    assert!(found.iter().any(|file| file == one_place), "{found:?}");
    let known = [
        one_place,
        // These two read an answer.
        "infra/src/shop/demo/api.rs",
        "infra/src/peers.rs",
        // As that place makes it, for a connection that gets nothing else.
        "infra/src/serve/no_room.rs",
    ];
    found.retain(|file| !known.contains(&file.as_str()));
    assert_eq!(found, [""; 0]);
}
