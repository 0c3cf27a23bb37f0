//! Who may see how the server is in full: whoever comes by the operators' own listener, and where there is none, this machine.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use command_api::web::problem::Problem;

use super::health::Health;

/// Where the operators' listener is by now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct AdminAddress(Arc<Mutex<Option<SocketAddr>>>);

impl AdminAddress {
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, address: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// Whether whoever sent a request is on this machine, and no proxy that speaks for somebody else.
fn is_local(peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    peer.is_some_and(|peer| peer.to_canonical().is_loopback())
        && !passed_on.iter().any(|name| headers.contains_key(*name))
}

/// By which listener a router is reached.
#[derive(Debug, Clone)]
pub(crate) enum Exposure {
    /// The operators' own.
    Operators,
    /// That of everybody; the other one is there, once it has an address.
    Everybody(AdminAddress),
}

/// Whether a request comes from an operator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator(pub(super) bool);

impl Operator {
    /// # Errors
    /// 404 for everybody else: what is not for them isn't there.
    pub(super) fn required(self) -> Result<(), Problem> {
        if self.0 {
            return Ok(());
        }
        let detail =
            "there is no such path here; operators find it on a listener of their own, http.admin_listen";
        Err(Problem::new(StatusCode::NOT_FOUND, "unknown-route", detail))
    }
}

impl FromRequestParts<Health> for Operator {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, health: &Health) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        Ok(Self(match health.exposure() {
            Exposure::Operators => true,
            Exposure::Everybody(admin) => admin.get().is_none() && is_local(peer, &parts.headers),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: OPS-3, SEC-10
    #[test]
    fn only_this_machine_is_local_and_no_proxy_on_it() {
        let none = HeaderMap::new();
        let at = |ip: &str| Some(ip.parse().unwrap());
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(is_local(at(ip), &none), "{ip}");
            for name in ["forwarded", "x-forwarded-for", "x-real-ip", "via"] {
                let passed_on = HeaderMap::from_iter([(name.parse().unwrap(), "x".parse().unwrap())]);
                assert!(!is_local(at(ip), &passed_on), "{ip} {name}");
            }
        }
        for ip in ["10.0.0.1", "192.0.2.1", "::2", "fe80::1", "::ffff:10.0.0.1"] {
            assert!(!is_local(at(ip), &none), "{ip}");
        }
        assert!(!is_local(None, &none));
    }
}
