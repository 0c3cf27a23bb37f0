//! The listener's connections: accepted, bounded in what a request's head may be and how long it may take, and closed in order
//! at the end. HTTP/1.1 only, as a proxy in front speaks it.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, Version, header};
use axum::response::Response;
use command_api::http::conventions;
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

/// Serves connections until shutdown, then lets the requests that were accepted finish. Dropping it cuts the rest off.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    head_wait: Duration,
    shutdown: &CancellationToken,
) {
    let mut connections = JoinSet::new();
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
            Ok((stream, _)) => {
                connections.spawn(connection(stream, router.clone(), head_wait, shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
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
    let service = service_fn(move |request: Request<Incoming>| answer(router.clone(), request));
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
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // A client that broke off, or sent what is no HTTP: nothing that an operator could act upon.
        tracing::debug!(%error, "a connection ended");
    }
}

async fn answer(router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    // One host, so that everything on the way means the same one (RFC 9112, 3.2).
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Ok(conventions::unreadable(StatusCode::BAD_REQUEST).map(Body::from));
    }
    router.oneshot(request.map(Body::new)).await
}
