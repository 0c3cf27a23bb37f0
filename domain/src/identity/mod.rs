//! Identity: who there is, and who is signed in.

pub mod email_claim;
pub mod session;
pub mod user;
