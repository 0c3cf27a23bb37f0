//! The listener's connections: accepted as far as there is room for them, bounded in what a request's head may be, how long it may take
//! and how long an answer may stay unread, and closed in order at the end. HTTP/1.1 only, as a proxy in front speaks it. A head that
//! is no HTTP or too large is refused by the library itself, with a bare 400 or 431: it has no say of ours there, and who sends such bytes is
//! no client that reads problems.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, Version, header};
use axum::response::Response;
use command_api::web::conventions;
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::no_room;
use crate::config::sections::Http;
use crate::http::admission::{Admission, Admitted};

/// The largest head of a request, in bytes: room for the longest cursor.
const MAX_HEAD: usize = 64 * 1024;
/// What is kept of a connection's requests and answers, in bytes: a client that reads no answers gets no more of them.
const MAX_BUFFER: usize = 2 * MAX_HEAD;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// How long to wait after the machine refused a connection, as when no file descriptor is left: until some are closed.
const AFTER_REFUSAL: Duration = Duration::from_millis(200);

/// How long a connection may take to send its first request when the stop has begun.
const FIRST_REQUEST: Duration = Duration::from_secs(5);

/// What the connections of a listener may take.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Until a request's head is there.
    pub(super) head_wait: Duration,
    /// Until the client takes the next bytes of an answer.
    pub(super) write_wait: Duration,
    /// How many there may be.
    pub(super) admission: Admission,
}

impl Limits {
    /// As configured.
    pub(super) fn new(config: &Http, admission: Admission) -> Self {
        Self { head_wait: config.head_wait.0, write_wait: config.write_wait.0, admission }
    }
}

/// Serves connections until shutdown, then lets the requests that were accepted finish. Dropping it cuts the rest off.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: &CancellationToken,
) {
    let mut connections = JoinSet::new();
    let welcome = |connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr| match limits
        .admission
        .enter(peer.ip())
    {
        Admitted::Served(place) => {
            let (router, limits, shutdown) = (router.clone(), limits.clone(), shutdown.clone());
            connections.spawn(async move {
                connection(stream, peer, router, limits, shutdown).await;
                drop(place);
            });
        }
        Admitted::Told(place) => {
            let head_wait = limits.head_wait;
            connections.spawn(async move {
                no_room::tell(stream, head_wait).await;
                drop(place);
            });
        }
        Admitted::Dropped => {}
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                note(ended);
                continue;
            }
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => welcome(&mut connections, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
    // Connections that were made already, in the operating system's queue: it would reset them with the listener.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        welcome(&mut connections, stream, peer);
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note(ended);
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // An answer is one write, so nothing is gained by waiting for more of it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone");
        return;
    }
    let begun = CancellationToken::new();
    let service = service_fn(|request: Request<Incoming>| {
        begun.cancel();
        answer(router.clone(), request, peer)
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_wait)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_wait));
    let serving = builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = closing(&shutdown, &begun) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // A client that broke off, or sent what is no HTTP: nothing that an operator could act upon.
        tracing::debug!(%error, "a connection ended");
    }
}

/// Returns when the connection is to take no further request. One that was made before the stop has a moment for its first: the driver
/// closes a connection of which it has read nothing.
async fn closing(shutdown: &CancellationToken, begun: &CancellationToken) {
    shutdown.cancelled().await;
    // Either will do.
    let _ = tokio::time::timeout(FIRST_REQUEST, begun.cancelled()).await;
}

async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response, Infallible> {
    // One host, so that everything on the way means the same one (RFC 9112, 3.2).
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Ok(conventions::unreadable(StatusCode::BAD_REQUEST).map(Body::from));
    }
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request.map(Body::new)).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn limits(most: usize, per_peer: usize, write_wait: Duration) -> Limits {
        Limits { head_wait: HANGS, write_wait, admission: Admission::of(most, per_peer) }
    }

    /// Whatever takes as long hangs.
    const HANGS: Duration = Duration::from_secs(300);

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";

    // proves: OPS-2
    #[tokio::test]
    async fn connections_that_wait_at_the_stop_are_answered_and_later_ones_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", axum::routing::get(async || "here"));
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(GET).await.unwrap();
            waiting.push(stream);
        }
        serve(listener, router, limits(8, 8, HANGS), &shutdown).await;
        for mut stream in waiting {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        }
        assert!(TcpStream::connect(address).await.is_err());
    }

    /// A listener that serves large answers; who connects to it is 127.0.0.1.
    async fn large(limits: Limits) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", axum::routing::get(async || "here"))
            .route("/large", axum::routing::get(async || "x".repeat(1 << 20)));
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move { serve(listener, router, limits, &stop).await });
        (address, shutdown, serving)
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(GET).await.unwrap();
        let mut answer = [0; 4_096];
        let n = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..n]).into_owned()
    }

    // proves: SEC-10, OPS-3
    #[tokio::test]
    async fn who_finds_no_room_is_told_and_served_when_there_is_some() {
        let limits = limits(4, 3, HANGS);
        let (address, shutdown, serving) = large(limits.clone()).await;
        let mut inside = Vec::new();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
            inside.push(stream);
        }
        for _ in 0..5 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let answer = ask(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "it is closed");
        }
        assert_eq!((limits.admission.served(), limits.admission.told()), (3, 5));
        // Another address of the same machine is another peer.
        let other = tokio::net::TcpSocket::new_v4().unwrap();
        other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = other.connect(address).await.unwrap();
        assert!(ask(&mut other).await.starts_with("HTTP/1.1 200"));
        assert!(ask(&mut inside[0]).await.starts_with("HTTP/1.1 200"), "those inside are served on");
        inside.clear();
        while limits.admission.served() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        drop((stream, other));
        shutdown.cancel();
        serving.await.unwrap();
    }

    // proves: SEC-10
    #[tokio::test]
    async fn a_client_that_asks_and_never_reads_is_closed_and_others_are_served() {
        let limits = limits(4, 4, Duration::from_millis(200));
        let (address, shutdown, serving) = large(limits.clone()).await;
        let mut other = TcpStream::connect(address).await.unwrap();
        let mut never = TcpStream::connect(address).await.unwrap();
        let many = b"GET /large HTTP/1.1\r\nhost: here\r\n\r\n".repeat(200);
        never.write_all(&many).await.unwrap();
        assert!(ask(&mut other).await.starts_with("HTTP/1.1 200"));
        let closed = async {
            while limits.admission.served() > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(HANGS, closed).await.expect("it has its connection for ever");
        assert!(ask(&mut other).await.starts_with("HTTP/1.1 200"), "one that is silent is not closed");
        drop((never, other));
        shutdown.cancel();
        serving.await.unwrap();
    }
}
