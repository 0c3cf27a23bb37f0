//! What all queries share.

pub mod ask;
pub mod cursor;
pub mod docs;
pub mod failed;
pub mod params;
pub mod reply;
pub mod state;
