//! What all queries share.

pub(crate) mod ask;
pub mod cursor;
pub(crate) mod docs;
pub(crate) mod failed;
pub(crate) mod params;
pub(crate) mod reply;
pub mod state;
