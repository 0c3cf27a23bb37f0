//! The digest of a projection's rows: equal rows give equal digests, whichever database holds them.
//!
//! `SHA-256` over, for each table in the projection's order: its name, then its rows in order of the key (columns compared as
//! bytes, integers as numbers), then a mark that ends the table. A row is its key, then for each group its version and its
//! columns. A value is one byte that tells its kind, then its bytes, prefixed by their length (u64, little-endian); instants
//! are microseconds since 1970.

use domain::merkle::Hash;
use sha2::{Digest, Sha256};

use crate::engine::rows::Value;

/// Digests rows as they are read.
#[derive(Default)]
pub struct RowDigest(Sha256);

impl RowDigest {
    /// Begins a table.
    pub fn table(&mut self, name: &str) {
        self.0.update(b"T");
        self.bytes(name.as_bytes());
    }

    /// Adds the next row of the table: key, and for each group version and columns.
    pub fn row<'a>(&mut self, values: impl Iterator<Item = &'a Value>) {
        self.0.update(b"R");
        values.for_each(|value| self.value(value));
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> Hash {
        self.0.finalize().into()
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.update(b"n"),
            Value::Text(text) => {
                self.0.update(b"t");
                self.bytes(text.as_bytes());
            }
            Value::Json(text) => {
                self.0.update(b"j");
                self.bytes(text.as_bytes());
            }
            Value::Int(n) => {
                self.0.update(b"i");
                self.0.update(n.to_le_bytes());
            }
            Value::Bool(b) => self.0.update([b'b', u8::from(*b)]),
            Value::Uuid(id) => {
                self.0.update(b"u");
                self.0.update(id.as_bytes());
            }
            Value::Time(at) => {
                self.0.update(b"m");
                self.0.update(at.timestamp_micros().to_le_bytes());
            }
        }
    }
}
