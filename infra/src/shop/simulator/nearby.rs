//! Who may look into the simulators' books, and switch them: they have no login, so it is whoever sits at the same machine, unless
//! `simulator.public` says that it may be anybody.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// What a proxy says that passes somebody else's request on: then the address is the proxy's own.
const PASSED_ON: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Lets requests through that come from this machine, or all of them; to everybody else the simulators aren't there.
pub(crate) async fn only(State(public): State<bool>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    if public || is_near(peer, request.headers()) {
        return next.run(request).await;
    }
    // The conventions say so as of any other unknown path.
    StatusCode::NOT_FOUND.into_response()
}

/// No address means that it was called within the process.
fn is_near(peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    peer.is_none_or(|peer| peer.ip().to_canonical().is_loopback())
        && !PASSED_ON.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    // proves: PAY-1, SEC-10
    #[tokio::test]
    async fn the_simulators_are_there_for_this_machine_only_unless_they_are_public() {
        let ask = async |public: bool, peer: Option<&str>, header: Option<&str>| {
            let routes =
                Router::new().route("/", get(async || "books")).layer(from_fn_with_state(public, only));
            let mut request = Request::get("/").body(Body::empty()).unwrap();
            if let Some(peer) = peer {
                let peer: SocketAddr = peer.parse().unwrap();
                request.extensions_mut().insert(ConnectInfo(peer));
            }
            if let Some(name) = header {
                let name = axum::http::HeaderName::try_from(name).unwrap();
                request.headers_mut().insert(name, "203.0.113.7".parse().unwrap());
            }
            routes.oneshot(request).await.unwrap().status().as_u16()
        };
        for near in
            [None, Some("127.0.0.1:1"), Some("127.9.9.9:1"), Some("[::1]:1"), Some("[::ffff:127.0.0.1]:1")]
        {
            assert_eq!(ask(false, near, None).await, 200, "{near:?}");
            for header in PASSED_ON {
                assert_eq!(ask(false, near, Some(header)).await, 404, "{near:?} {header}");
            }
        }
        for far in ["192.0.2.1:1", "10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            assert_eq!(ask(false, Some(far), None).await, 404, "{far}");
            assert_eq!(ask(true, Some(far), Some("via")).await, 200, "{far}");
        }
    }
}
