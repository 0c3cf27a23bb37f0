#![doc = include_str!("../README.md")]

pub mod audit;
pub mod engine;

use std::sync::Arc;

use engine::model::Projection;

macro_rules! join {
    ($($context:ident)*) => {
        $(pub mod $context;)*

        /// The projections of the shop's contexts: of rows, which share one database and one transaction per batch, and of documents,
        /// which stand apart in indices. The sagas crate adds its own.
        #[must_use]
        pub fn shop() -> Vec<Arc<dyn Projection>> {
            let mut all: Vec<Arc<dyn Projection>> = Vec::new();
            $(all.extend($context::projections());)*
            all
        }
    };
}
domain::contexts!(join);
