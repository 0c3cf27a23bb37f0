//! Why a refund was given.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::personal::Sealed;

/// Why a refund was given. What a person writes about a person is sealed under the customer's key, like an address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// A person's words, as ciphertext.
    Sealed(Sealed),
    /// In the clear: the program's own word for why an order ended, or what an event from before sealing says.
    Plain(String),
}

/// Never shows the text.
impl fmt::Debug for RefundReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefundReason(…)")
    }
}
