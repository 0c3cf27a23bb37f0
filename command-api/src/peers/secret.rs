//! Requests between instances are signed: HMAC-SHA-256 under a secret that all of them share.

use domain::Timestamp;
use hex::FromHex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The header of a signed request: `v1 <seconds since 1970> <SHA-256 of the body> <mac>`, both in lower-case hex. The digest travels
/// with it so that the signature is checked before anything of the body is read or room is made for it.
pub const PEER_HEADER: &str = "tillstream-peer";

/// How far the clocks of two instances may be apart, and how long a signature is good for, in seconds.
const WINDOW: i64 = 60;

/// The secret that the instances of one store share.
#[derive(Clone)]
pub struct PeerSecret {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for PeerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PeerSecret(…)")
    }
}

impl PeerSecret {
    /// The given secret.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { keyed: Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length") }
    }

    /// The value of [`PEER_HEADER`] for a request.
    #[must_use]
    pub fn sign(&self, method: &str, path: &str, now: Timestamp, body: &[u8]) -> String {
        let (seconds, digest) = (now.timestamp(), Sha256::digest(body).into());
        let mac = self.mac(method, path, seconds, &digest).finalize().into_bytes();
        format!("v1 {seconds} {} {}", hex::encode(digest), hex::encode(mac))
    }

    /// The body that was signed with this secret for this request, within the window; `None` when none was. To be asked before the
    /// body is read, and then to be compared with it.
    #[must_use]
    pub fn signed(&self, header: &str, method: &str, path: &str, now: Timestamp) -> Option<SignedBody> {
        let (seconds, digest, mac) = parse(header)?;
        let timely = seconds.abs_diff(now.timestamp()) <= WINDOW.unsigned_abs();
        // Compares in constant time.
        let genuine = self.mac(method, path, seconds, &digest).verify_slice(&mac).is_ok();
        (timely && genuine).then_some(SignedBody(digest))
    }

    fn mac(&self, method: &str, path: &str, seconds: i64, digest: &[u8; 32]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        // None of the first three can hold a line break.
        mac.update(format!("{method}\n{path}\n{seconds}\n").as_bytes());
        mac.update(digest);
        mac
    }
}

/// The digest of a body that a peer signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedBody([u8; 32]);

impl SignedBody {
    /// Whether these bytes are that body.
    #[must_use]
    pub fn is(&self, body: &[u8]) -> bool {
        self.0 == <[u8; 32]>::from(Sha256::digest(body))
    }
}

fn parse(header: &str) -> Option<(i64, [u8; 32], [u8; 32])> {
    let mut parts = header.split(' ');
    let (Some("v1"), Some(seconds), Some(digest), Some(mac), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    Some((seconds.parse().ok()?, FromHex::from_hex(digest).ok()?, FromHex::from_hex(mac).ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn only_the_signed_request_passes_and_only_for_a_minute() {
        let secret = PeerSecret::new([7; 32]);
        let now = at(1_700_000_000);
        let header = secret.sign("POST", "/internal/v1/owner/3/submit", now, b"{}");
        let passes = |secret: &PeerSecret, method, path, now, body: &[u8]| {
            secret.signed(&header, method, path, now).is_some_and(|signed| signed.is(body))
        };
        let path = "/internal/v1/owner/3/submit";
        assert!(passes(&secret, "POST", path, now, b"{}"));
        assert!(passes(&secret, "POST", path, now + Duration::from_secs(60), b"{}"));
        assert!(passes(&secret, "POST", path, now - Duration::from_secs(60), b"{}"));
        assert!(!passes(&secret, "POST", path, now + Duration::from_secs(61), b"{}"));
        assert!(!passes(&secret, "POST", path, now - Duration::from_secs(61), b"{}"));
        assert!(!passes(&secret, "PUT", path, now, b"{}"));
        assert!(!passes(&secret, "POST", "/internal/v1/owner/4/submit", now, b"{}"));
        assert!(!passes(&secret, "POST", path, now, b"[]"));
        assert!(!passes(&PeerSecret::new([8; 32]), "POST", path, now, b"{}"));
    }

    #[test]
    fn what_is_no_signature_is_none() {
        let secret = PeerSecret::new([7; 32]);
        let mac = "0".repeat(64);
        for header in [
            String::new(),
            "v1".into(),
            format!("v2 0 {mac} {mac}"),
            format!("v1 0 {mac}"),
            format!("v1 0 {mac} {mac} x"),
            format!("v1 x {mac} {mac}"),
            format!("v1 0 {} {mac}", "é".repeat(32)),
            format!("v1 -9223372036854775808 {mac} {mac}"),
            format!("v1 0 {mac} {mac}"),
        ] {
            assert_eq!(secret.signed(&header, "POST", "/", at(0)), None, "{header}");
        }
    }
}
