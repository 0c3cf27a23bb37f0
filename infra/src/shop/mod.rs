//! The shop: the one place where its contexts are joined to an application, and what they need beside the platform.

pub mod accounts;
pub mod commands;
pub mod demo;
mod fulfilments;
mod processes;
pub mod simulator;
mod sku_survey;

use std::sync::Arc;

use command_api::web::CommandState;
use command_api::web::routes::Routes;
use sagas::projection::SagaProjection;

use self::fulfilments::OrderFulfilment;
pub(crate) use self::processes::PACE;
use self::processes::{Fulfilment, terms};
use self::sku_survey::SkuSurvey;
use crate::application::{Application, Projections};
use crate::config::Config;

/// The shop, as the configuration wants it.
#[must_use]
pub fn application(config: &Config) -> Application {
    Application {
        projections: projections(),
        commands,
        queries: query_api::routes,
        processes: Some(Arc::new(Fulfilment)),
        pace: Some(PACE),
        files: &[simulator::SIMULATOR_FILE],
        chores: vec![Arc::new(SkuSurvey)],
        ..Application::of(sagas::registry_with(&terms(config)))
    }
}

/// The shop's projections.
#[must_use]
pub fn projections() -> Projections {
    let mut all = projections::shop();
    all.push(Arc::new(SagaProjection));
    Projections::with_audit(all)
}

fn commands() -> Routes<CommandState> {
    command_api::routes(Arc::new(OrderFulfilment))
}
