//! Refresh tokens: `<session id>.<secret>.<tag>`. The secret has 256 bits; the tag is a keyed digest of what stands before it,
//! so that only a token that was really issued can count as the reuse of an old one and end a session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ports::keys::SubjectKeys;
use domain::uuids::any_spelling;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How many hex digits of the keyed digest the tag has.
const TAG: usize = 32;

/// A refresh token that was issued by us.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    pub(crate) session_id: Uuid,
    text: String,
}

impl RefreshToken {
    /// A new random token of a session.
    pub(crate) fn draw(keys: &dyn SubjectKeys, session_id: Uuid) -> Self {
        let secret: [u8; 32] = rand::random();
        Self::of(keys, session_id, &URL_SAFE_NO_PAD.encode(secret))
    }

    /// The token that follows this one under an idempotency key: the same for a repeat, unknowable without the server's key.
    pub(crate) fn next(&self, keys: &dyn SubjectKeys, idempotency_key: &str) -> Self {
        Self::of(keys, self.session_id, &keys.blind(&format!("refresh-next:{}:{idempotency_key}", self.text)))
    }

    fn of(keys: &dyn SubjectKeys, session_id: Uuid, secret: &str) -> Self {
        let body = format!("{session_id}.{secret}");
        Self { session_id, text: format!("{body}.{}", tag(keys, &body)) }
    }

    /// Reads a token; `None` unless it was issued by us.
    pub(crate) fn read(keys: &dyn SubjectKeys, text: &str) -> Option<Self> {
        let (body, given) = text.rsplit_once('.')?;
        let (session, secret) = body.split_once('.')?;
        let session_id = any_spelling(session)?;
        // Digests are compared rather than the tags, so the time taken says nothing about how much of a tag was right.
        let digest = |tag: &str| Sha256::digest(tag);
        let ours = !secret.is_empty() && digest(given) == digest(&tag(keys, body));
        ours.then(|| Self { session_id, text: text.to_owned() })
    }

    /// What the client keeps.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text, lower-case hex: all that is stored.
    pub(crate) fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.text))
    }
}

fn tag(keys: &dyn SubjectKeys, body: &str) -> String {
    let mut tag = keys.blind(&format!("refresh-tag:{body}"));
    tag.truncate(TAG);
    tag
}
