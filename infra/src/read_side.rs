//! What the read side consists of, whatever it is kept in.

use std::sync::Arc;

use projections::model::Projection;

/// Every projection whose rows are in the read models' database.
#[must_use]
pub fn row_projections() -> Vec<Arc<dyn Projection>> {
    let mut projections = projections::shop();
    projections.push(Arc::new(sagas::projection::SagaProjection));
    projections
}
