//! Why a query has no answer, as the problem that the client gets: the one place that maps the ports' errors to statuses.

use axum::response::{IntoResponse, Response};
use command_api::web::problem::Problem;
use command_api::web::unserved::Unserved;
use domain::ports::keys::KeyError;
use domain::ports::log::LogError;
use domain::upcast::DecodeError;
use projections::engine::read_models::ReadError;

use crate::verifier::VerifyError;
use crate::web::cursor::bad_cursor;

/// A query's problem. Ports' errors become one with `?`.
#[derive(Debug)]
pub struct Failed(pub(crate) Problem);

impl Failed {
    /// 503 for a stream whose read model stands still since an event of it could not be applied.
    pub fn parked(what: &str) -> Self {
        let detail = format!("an event of this {what} could not be applied; an operator must look at it");
        Self(Unserved::StreamParked.problem(detail))
    }

    /// 503 for a wait that ran out.
    pub fn stale(detail: String) -> Self {
        Self(Unserved::Stale.problem(detail))
    }

    /// 503 for a bounded place that is taken.
    pub fn busy(detail: &str) -> Self {
        Self(Problem { retry_after: Some(5), ..Unserved::Overloaded.problem(detail) })
    }

    fn unavailable(detail: String) -> Self {
        tracing::warn!(detail, "a query failed because a store is unavailable");
        Self(Unserved::Overloaded.problem("a store that the query needs can't be reached now"))
    }

    fn internal(detail: &str) -> Self {
        tracing::error!(detail, "a query failed for an internal reason");
        Self(Problem::internal())
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<LogError> for Failed {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(_) => Self::unavailable(error.to_string()),
            LogError::Corrupt(..) => Self::internal(&error.to_string()),
        }
    }
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        let detail = error.to_string();
        match error {
            ReadError::Stale { .. } | ReadError::NotLive { .. } => Self::stale(detail),
            ReadError::BadCursor => Self(bad_cursor()),
            ReadError::Expired => Self(Problem::new(axum::http::StatusCode::GONE, "cursor-expired", detail)),
            ReadError::Overloaded => Self::busy(&detail),
            ReadError::Unavailable(_) => Self::unavailable(detail),
        }
    }
}

impl From<KeyError> for Failed {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unavailable(_) => Self::unavailable(error.to_string()),
            KeyError::Erased | KeyError::Broken => Self::internal(&error.to_string()),
        }
    }
}

impl From<VerifyError> for Failed {
    fn from(error: VerifyError) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<DecodeError> for Failed {
    fn from(error: DecodeError) -> Self {
        Self::internal(&error.to_string())
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(&error.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
