//! The keys of data subjects, whatever store keeps them: the ciphers, and what a store knows of a subject.

mod cipher;

use std::sync::Arc;

use domain::personal::{ERASED, Sealed};
use domain::ports::keys::KeyError;
use domain::stream::StreamId;

pub(crate) use self::cipher::{BlindKey, SubjectKey};

/// What is known of a subject.
#[derive(Clone)]
pub(crate) enum Subject {
    /// Its key.
    Key(Arc<SubjectKey>),
    /// Its key was destroyed.
    Erased,
}

impl Subject {
    /// The subject of a stored row, whose key is null once it was destroyed.
    pub(crate) fn stored(key: Option<[u8; 32]>) -> Self {
        key.map_or(Self::Erased, |bytes| Self::Key(Arc::new(SubjectKey::new(&bytes))))
    }

    /// Seals each value.
    pub(crate) fn seal(&self, subject: &StreamId, values: &[&str]) -> Result<Vec<Sealed>, KeyError> {
        match self {
            Self::Key(key) => values.iter().map(|value| key.seal(subject, value)).collect(),
            Self::Erased => Err(KeyError::Erased),
        }
    }

    /// Opens each value; all read as erased when the subject's key is gone.
    pub(crate) fn open(&self, subject: &StreamId, values: &[&Sealed]) -> Result<Vec<String>, KeyError> {
        match self {
            Self::Key(key) => values.iter().map(|value| key.open(subject, value)).collect(),
            Self::Erased => Ok(values.iter().map(|_| ERASED.to_owned()).collect()),
        }
    }
}
