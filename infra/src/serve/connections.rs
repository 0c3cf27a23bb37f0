//! The listener's connections: accepted, bounded in what a request's head may be and how long it may take, and closed in order
//! at the end. HTTP/1.1 only, as a proxy in front speaks it.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, Version, header};
use axum::response::Response;
use command_api::http::conventions;
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::protocol::Explained;

/// The largest head of a request, in bytes: room for the longest cursor.
const MAX_HEAD: usize = 64 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// The most connections at once; more wait in the operating system's queue.
const MAX_CONNECTIONS: usize = 4_096;
/// How long to wait after the machine refused a connection, as when no file descriptor is left: until some are closed.
const AFTER_REFUSAL: Duration = Duration::from_millis(200);

/// How long a connection may take to send its first request when the stop has begun.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Serves connections until shutdown, then lets the requests that were accepted finish. Dropping it cuts the rest off.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    head_wait: Duration,
    shutdown: &CancellationToken,
) {
    let mut connections = JoinSet::new();
    let connect = |stream| connection(stream, router.clone(), head_wait, shutdown.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
            Some(ended) = connections.join_next() => {
                note(ended);
                continue;
            }
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connect(stream))),
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
    // Connections that were made already, in the operating system's queue: it would reset them with the listener.
    while connections.len() < MAX_CONNECTIONS
        && let Some(Ok((stream, _))) = listener.accept().now_or_never()
    {
        connections.spawn(connect(stream));
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

async fn connection(stream: TcpStream, router: Router, head_wait: Duration, shutdown: CancellationToken) {
    // An answer is one write, so nothing is gained by waiting for more of it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone");
        return;
    }
    let begun = CancellationToken::new();
    let service = service_fn(|request: Request<Incoming>| {
        begun.cancel();
        answer(router.clone(), request)
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_wait)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let serving = builder.serve_connection(TokioIo::new(Explained::new(stream)), service);
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

async fn answer(router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    // One host, so that everything on the way means the same one (RFC 9112, 3.2).
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Ok(conventions::unreadable(StatusCode::BAD_REQUEST).map(Body::from));
    }
    router.oneshot(request.map(Body::new)).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

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
            stream.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
            waiting.push(stream);
        }
        serve(listener, router, Duration::from_secs(10), &shutdown).await;
        for mut stream in waiting {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        }
        assert!(TcpStream::connect(address).await.is_err());
    }
}
