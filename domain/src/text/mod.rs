//! Text that people type: the forms in which two spellings are the same, and what must never be stored.

pub mod card;
pub mod characters;
pub mod identifier;
pub mod identity;
pub mod percent;
