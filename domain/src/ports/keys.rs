//! The keys of data subjects, in a store of their own outside the log.

use async_trait::async_trait;

use crate::personal::Sealed;
use crate::stream::StreamId;

/// Why the key store can't answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The store can't be reached or refuses: repeat later.
    #[error("the key store is unavailable: {0}")]
    Unavailable(String),
    /// The subject was erased: nothing can be sealed for it any more.
    #[error("the subject was erased")]
    Erased,
    /// The ciphertext was not made under the subject's key, or was changed.
    #[error("the ciphertext can't be opened")]
    Broken,
}

/// Seals and opens personal data. A subject is named by the stream of its user.
#[async_trait]
pub trait SubjectKeys: Send + Sync + 'static {
    /// Encrypts each value under the subject's key, which is made durable first when the subject has none yet.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`], [`KeyError::Erased`].
    async fn seal(&self, subject: &StreamId, values: &[&str]) -> Result<Vec<Sealed>, KeyError>;

    /// Decrypts each value; [`crate::personal::ERASED`] for all of them when the subject's key is gone.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`], [`KeyError::Broken`].
    async fn open(&self, subject: &StreamId, values: &[&Sealed]) -> Result<Vec<String>, KeyError>;

    /// Encrypts one value; see [`seal`](Self::seal).
    ///
    /// # Errors
    /// Those of [`seal`](Self::seal).
    async fn seal_one(&self, subject: &StreamId, value: &str) -> Result<Sealed, KeyError> {
        self.seal(subject, &[value]).await?.pop().ok_or(KeyError::Broken)
    }

    /// Decrypts one value; see [`open`](Self::open).
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    async fn open_one(&self, subject: &StreamId, value: &Sealed) -> Result<String, KeyError> {
        self.open(subject, &[value]).await?.pop().ok_or(KeyError::Broken)
    }

    /// Destroys the subject's key for ever.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`].
    async fn destroy(&self, subject: &StreamId) -> Result<(), KeyError>;

    /// A keyed digest (HMAC-SHA-256, lower-case hex) of a normalised value, for looking it up without storing it.
    fn blind(&self, value: &str) -> String;
}
