//! The log for auditors and their tools: every event, of whatever context.

pub mod documents;
pub mod events;
