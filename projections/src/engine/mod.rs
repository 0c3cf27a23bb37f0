//! What keeps read models: nothing here knows what they are about.

pub mod applier;
pub mod digest;
pub mod events;
pub mod fold;
pub mod follower;
pub mod index;
mod lag;
pub mod mapping;
pub mod mark;
pub mod model;
pub mod origin;
pub mod query;
pub mod read_models;
pub mod redrive;
pub mod rows;
pub mod runner;
pub mod sagas;
pub mod search;
pub mod status;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod watermark;
pub mod words;
