//! Requests between instances are signed: HMAC-SHA-256 under a secret that all of them share.

use domain::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The header of a signed request: `v1 <seconds since 1970> <mac, lower-case hex>`.
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
        let seconds = now.timestamp();
        format!("v1 {seconds} {}", hex(&self.mac(method, path, seconds, body).finalize().into_bytes()))
    }

    /// Whether a request's header has the form that it must have, and a time within the window; to be asked before the body is
    /// read.
    #[must_use]
    pub fn may_be_signed(header: &str, now: Timestamp) -> bool {
        parse(header).is_some_and(|(seconds, _)| seconds.abs_diff(now.timestamp()) <= WINDOW.unsigned_abs())
    }

    /// Whether the request was signed with this secret, within the window.
    #[must_use]
    pub fn verify(&self, header: &str, method: &str, path: &str, now: Timestamp, body: &[u8]) -> bool {
        let Some((seconds, mac)) = parse(header) else { return false };
        Self::may_be_signed(header, now)
            // Compares in constant time.
            && self.mac(method, path, seconds, body).verify_slice(&mac).is_ok()
    }

    fn mac(&self, method: &str, path: &str, seconds: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        // None of the first three can hold a line break.
        mac.update(format!("{method}\n{path}\n{seconds}\n").as_bytes());
        mac.update(&Sha256::digest(body));
        mac
    }
}

fn parse(header: &str) -> Option<(i64, [u8; 32])> {
    let mut parts = header.split(' ');
    let (Some("v1"), Some(seconds), Some(mac), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    Some((seconds.parse().ok()?, unhex(mac)?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
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
            secret.verify(&header, method, path, now, body)
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
            format!("v2 0 {mac}"),
            format!("v1 0 {mac} x"),
            format!("v1 x {mac}"),
            format!("v1 0 {}", "é".repeat(32)),
            format!("v1 -9223372036854775808 {mac}"),
            format!("v1 0 {mac}"),
        ] {
            assert!(!secret.verify(&header, "POST", "/", at(0), b""), "{header}");
        }
        assert!(!PeerSecret::may_be_signed(
            &format!("v1 -9223372036854775808 {mac}"),
            at(i64::from(u32::MAX))
        ));
    }
}
