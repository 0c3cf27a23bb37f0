#![doc = include_str!("../README.md")]

pub mod fulfilment;
pub mod leases;
pub mod owner;
pub mod peers;
pub mod repository;
pub mod web;

use std::sync::Arc;

use fulfilment::Fulfilments;
use web::CommandState;
use web::routes::Routes;

macro_rules! join {
    ($($context:ident)*) => {
        $(pub mod $context;)*

        /// The command side's operations, which end what is stuck by the words of `fulfilments`; the query side has its own.
        #[must_use]
        pub fn routes(fulfilments: Arc<dyn Fulfilments>) -> Routes<CommandState> {
            Routes::of(web::openapi::base())
                $(.merge($context::routes()))*
                .merge(fulfilment::routes(fulfilments))
        }
    };
}
domain::contexts!(join);

#[cfg(test)]
mod tests;
