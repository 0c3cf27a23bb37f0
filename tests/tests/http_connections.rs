//! What clients do on the wire that no HTTP library would: heads that are malformed, too large or too slow, and connections
//! that stay silent. None gets an empty error, and none keeps the server or others busy.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::time::Duration;

use infra::config::Layers;
use infra::serve::{Running, bind, start};
use serde_json::Value;
use tests::client::Client;
use tests::shop::ok;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Whatever takes as long hangs.
const HANGS: Duration = Duration::from_secs(120);

struct World {
    running: Running,
    shutdown: CancellationToken,
    _temp: tempfile::TempDir,
}

impl World {
    async fn start(head_wait: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let flags = [
            ("data.dir", dir.to_str().unwrap()),
            ("http.listen", "127.0.0.1:0"),
            ("http.admin_listen", "off"),
            ("log.shards", "2"),
            ("payments.url", "simulator:"),
            ("carrier.url", "simulator:"),
            ("http.head_wait", head_wait),
            // A stop that waits for what it needn't wait for hangs.
            ("http.drain", "1h"),
        ];
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = Layers { flags, ..Layers::default() }.load().unwrap();
        let shutdown = CancellationToken::new();
        let listener = bind(config.http.listen).await.unwrap();
        Self {
            running: start(&infra::shop::application(&config), &config, listener, shutdown.clone())
                .await
                .unwrap(),
            shutdown,
            _temp: temp,
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(HANGS, self.running.ended()).await.unwrap().unwrap();
    }
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may have answered and closed before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(HANGS, stream.read_to_end(&mut answer)).await.expect("the connection is closed soon");
    String::from_utf8(answer).unwrap()
}

fn check(name: &str, answer: &str, status: u16) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{name}: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
    for header in
        ["content-type: application/problem+json", "x-request-id: ", "x-content-type-options: nosniff"]
    {
        assert!(head.contains(&format!("\r\n{header}")), "{name}: {header} is missing in {head}");
    }
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["status"], status, "{name}");
    assert!(["type", "title", "detail"].iter().all(|field| body[field].is_string()), "{name}: {body}");
}

// proves: SEC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_no_http_are_refused_and_others_are_served() {
    let world = World::start("30s").await;
    let get = "GET /health/live HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n";
    let post = "POST /api/v1/auth/login HTTP/1.1\r\nHost: shop\r\n";
    let many: String = (0..101).map(|i| format!("X-{i}: 1\r\n")).collect();
    let cases = [
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("another version", "GET / HTTP/9.9\r\nHost: shop\r\n\r\n".to_owned(), 400),
        ("a header without a colon", format!("{get}nonsense\r\n\r\n"), 400),
        ("a header with a NUL", format!("{get}X: \0\r\n\r\n"), 400),
        ("two lengths", format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{{}}"), 400),
        ("a negative length", format!("{post}Content-Length: -1\r\n\r\n"), 400),
        ("an unknown transfer coding", format!("{post}Transfer-Encoding: x\r\n\r\n"), 400),
        ("a huge header", format!("{get}X: {}\r\n\r\n", "x".repeat(1 << 20)), 431),
        ("too many headers", format!("{get}{many}\r\n"), 431),
    ];
    for (name, request, status) in cases {
        let answer = exchange(world.running.address, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{name}: the library's own, without a body: {answer}");
    }
    // What can be read is ours to refuse.
    for (name, request) in [
        ("no host", "GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned()),
        ("two hosts", format!("{get}Host: other\r\n\r\n")),
    ] {
        check(name, &exchange(world.running.address, request.as_bytes()).await, 400);
    }
    let good = exchange(world.running.address, format!("{get}\r\n").as_bytes()).await;
    assert!(good.starts_with("HTTP/1.1 200 ") && good.ends_with("{\"status\":\"up\"}"), "{good}");
    world.stop().await;
}

// proves: SEC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_and_silent_connections_are_closed_and_others_are_served() {
    let world = World::start("1s").await;
    let address = world.running.address;
    let slow = ["", "GET", "GET /health/live HTTP/1.1\r\nHost: shop\r\nX: "];
    let slow = slow.map(|bytes| tokio::spawn(exchange(address, bytes.as_bytes())));
    let client = Client::new(&format!("http://{address}"));
    let _ = ok(client.get("/health/live").await).expect(200);
    for answer in slow {
        assert_eq!(answer.await.unwrap(), "");
    }
    world.stop().await;
}

// proves: OPS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_doesnt_wait_for_silent_connections() {
    let world = World::start("1h").await;
    let mut silent = TcpStream::connect(world.running.address).await.unwrap();
    let client = Client::new(&format!("http://{}", world.running.address));
    // Answered, and then idle.
    let _ = ok(client.get("/health/live").await).expect(200);
    world.stop().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
}
