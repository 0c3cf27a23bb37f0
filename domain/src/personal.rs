//! Personal data: ciphertext under a key of the data subject's own, made once and copied verbatim.
//!
//! The log is for ever, so it never holds personal data in the clear. Destroying a subject's key erases what was sealed
//! under it; the ciphertext and every hash over it stay as they are.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::stream::StreamId;

/// What a sealed value reads as once its key is destroyed. Fixed, so that rebuilds stay deterministic.
pub const ERASED: &str = "[erased]";

/// The subject of a user's personal data: the stream of the user.
#[must_use]
pub fn subject(tenant: &str, user_id: Uuid) -> StreamId {
    StreamId::new(tenant, "user", user_id)
}

/// A personal value as ciphertext: `v1.` and unpadded base64url of nonce and AES-256-GCM ciphertext. The domain never
/// looks inside.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// Takes over a ciphertext in its text form.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(…)")
    }
}
