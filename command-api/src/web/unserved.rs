//! 503: why a request is not served now, and when it makes sense to come back. The only place that makes one, so that each has one of
//! four types and a `Retry-After`.

use axum::http::StatusCode;
use domain::command::CommandId;

use crate::web::problem::Problem;

/// Why a request is not served now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// There is no room for it, or a part that it needs can't be had now. Nothing was changed.
    Overloaded,
    /// Its command may have been done or not; a repeat under the same key finds out.
    OutcomeUnknown(CommandId),
    /// The read model has not seen the positions of its Sync-Token in time.
    Stale,
    /// An event of the stream could not be applied, and an operator must look at it.
    StreamParked,
}

impl Unserved {
    /// The last segments of the types.
    pub const CODES: [&'static str; 4] = ["overloaded", "outcome-unknown", "stale", "stream-parked"];

    const fn code(self) -> &'static str {
        let [overloaded, outcome_unknown, stale, stream_parked] = Self::CODES;
        match self {
            Self::Overloaded => overloaded,
            Self::OutcomeUnknown(_) => outcome_unknown,
            Self::Stale => stale,
            Self::StreamParked => stream_parked,
        }
    }

    /// Seconds.
    const fn retry_after(self) -> u16 {
        match self {
            Self::Overloaded | Self::OutcomeUnknown(_) | Self::Stale => 1,
            Self::StreamParked => 60,
        }
    }

    /// The answer.
    #[must_use]
    pub fn problem(self, detail: impl Into<String>) -> Problem {
        let command_id = match self {
            Self::OutcomeUnknown(id) => Some(id.to_string().into()),
            _ => None,
        };
        let problem = Problem::of(StatusCode::SERVICE_UNAVAILABLE, self.code(), detail.into());
        Problem { command_id, retry_after: Some(self.retry_after()), ..problem }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::RETRY_AFTER;
    use axum::response::IntoResponse as _;
    use domain::command::CommandError;
    use domain::ports::keys::KeyError;
    use domain::position::Shard;

    use super::*;

    /// As its client sees it.
    fn check(problem: Problem) {
        let kind = problem.kind.rsplit('/').next().unwrap().to_owned();
        assert!(Unserved::CODES.contains(&kind.as_str()), "{problem:?}");
        assert_eq!(kind == "outcome-unknown", problem.command_id.is_some(), "{problem:?}");
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let seconds: u16 = response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }

    // proves: OPS-3, ORD-1
    #[test]
    fn every_503_has_a_type_of_the_contract_and_says_when_to_come_back() {
        let id = CommandId::fresh();
        for why in
            [Unserved::Overloaded, Unserved::OutcomeUnknown(id), Unserved::Stale, Unserved::StreamParked]
        {
            check(why.problem("x"));
        }
        // Whatever status and type somebody puts together.
        check(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "x"));
        for error in [
            CommandError::Overloaded,
            CommandError::OutcomeUnknown(id),
            CommandError::NotOwner { shard: Shard(1), owner: None },
            CommandError::Unavailable("the owner of shard 1 did not answer in time".into()),
        ] {
            check(error.into());
        }
        check(KeyError::Unavailable("away".into()).into());
    }
}
