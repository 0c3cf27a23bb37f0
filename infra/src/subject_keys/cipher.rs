//! AES-256-GCM under a subject's key, and the keyed digest for looking values up.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::aes::cipher::consts::U12;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::personal::Sealed;
use domain::ports::keys::KeyError;
use domain::stream::StreamId;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const PREFIX: &str = "v1.";
const NONCE_BYTES: usize = 12;

/// The key of one subject.
pub(crate) struct SubjectKey(Aes256Gcm);

impl SubjectKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(bytes.into()))
    }

    /// `v1.` and unpadded base64url of nonce and ciphertext. The nonce is random: with 96 bits, a subject would have to seal
    /// billions of values before two might meet. The subject's name is authenticated with it, so that a value can't be moved to
    /// another subject.
    pub(crate) fn seal(&self, subject: &StreamId, value: &str) -> Result<Sealed, KeyError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let name = subject.to_string();
        let payload = Payload { msg: value.as_bytes(), aad: name.as_bytes() };
        // Only a value beyond 64 GiB can't be sealed.
        let ciphertext = self.0.encrypt(&Nonce::<U12>::from(nonce), payload).map_err(|_| KeyError::Broken)?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&ciphertext);
        Ok(Sealed::from_text(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    pub(crate) fn open(&self, subject: &StreamId, sealed: &Sealed) -> Result<String, KeyError> {
        let text = sealed.as_text().strip_prefix(PREFIX).ok_or(KeyError::Broken)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Broken)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(KeyError::Broken)?;
        let name = subject.to_string();
        let payload = Payload { msg: ciphertext, aad: name.as_bytes() };
        let value = self.0.decrypt(&Nonce::<U12>::from(*nonce), payload).map_err(|_| KeyError::Broken)?;
        String::from_utf8(value).map_err(|_| KeyError::Broken)
    }
}

/// The key of [`domain::ports::keys::SubjectKeys::blind`].
pub(crate) struct BlindKey(Hmac<Sha256>);

impl BlindKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(<Hmac<Sha256> as KeyInit>::new_from_slice(bytes).expect("HMAC takes a key of any length"))
    }

    pub(crate) fn digest(&self, value: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(value.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}
