//! What people type, against the real program: card numbers, identities, identifiers, article numbers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cards;
mod identifiers;
mod identities;
mod skus;
mod world;
