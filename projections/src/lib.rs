#![doc = include_str!("../README.md")]

pub mod audit;
pub mod engine;

use std::sync::Arc;

use engine::model::Projection;

macro_rules! join {
    ($($context:ident)*) => {
        $(pub mod $context;)*

        /// The row projections of the shop's contexts. They share one database and one transaction per batch. The sagas crate adds
        /// its own; search stands apart, in an index.
        #[must_use]
        pub fn shop() -> Vec<Arc<dyn Projection>> {
            let mut all: Vec<Arc<dyn Projection>> = Vec::new();
            $(all.extend($context::projections());)*
            all
        }
    };
}
domain::contexts!(join);
