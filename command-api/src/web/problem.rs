//! Problems: every HTTP error of Tillstream, as RFC 9457 `application/problem+json`. The one place that maps errors to statuses.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::command::CommandError;
use domain::ports::keys::KeyError;
use domain::refusal::{Refusal, RefusalKind};
use domain::text::card;
use serde::Serialize;

use crate::web::unserved::Unserved;

/// Where the problem types are documented: `<BASE><code>`.
pub const TYPE_BASE: &str = "https://tillstream.dev/problems/";

/// One fault of a request's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

// The boxes keep it small enough to travel as an `Err`.
/// An error answer, RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable URI; its last segment is the code.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Box<str>,
    /// The same for every problem of the type.
    #[schema(value_type = String)]
    pub title: Box<str>,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// Which fields are at fault, for validation problems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The command that the problem is about, for `outcome-unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub command_id: Option<Box<str>>,
    /// Seconds, sent as `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u16>,
    /// Sent as `Allow`.
    #[serde(skip)]
    pub allow: Option<Box<str>>,
}

impl Problem {
    /// A problem of a type `code` (kebab-case), whose title is the code in words. A 503 is one of [`Unserved`]'s: `overloaded`,
    /// whatever its code.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        if status.as_u16() == 503 {
            return Unserved::Overloaded.problem(detail);
        }
        Self::of(status, code, detail.into())
    }

    pub(crate) fn of(status: StatusCode, code: &str, detail: String) -> Self {
        Self {
            kind: format!("{TYPE_BASE}{code}").into(),
            title: code.replace('-', " ").into(),
            status: status.as_u16(),
            detail,
            errors: Vec::new(),
            command_id: None,
            retry_after: None,
            allow: None,
        }
    }

    /// 404 for a thing of the given kind.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("there is no such {what}"))
    }

    /// 401: who acts is not known; answered with `WWW-Authenticate`.
    #[must_use]
    pub fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403: who acts is known, and may not.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "your roles don't allow this operation")
    }

    /// 405 with the methods that the resource has.
    #[must_use]
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this resource has {allow}");
        Self {
            allow: Some(allow.into()),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
        }
    }

    /// 500, without its reason, which belongs into the log.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "an internal error; it has been logged")
    }

    /// Something holds what looks like a card's number, so nothing of it is kept.
    #[must_use]
    pub fn card_number(status: StatusCode) -> Self {
        let detail = "card numbers are not accepted anywhere; send a token of the payment provider";
        Self::new(status, "card-number-refused", detail)
    }

    /// Without anything that looks like a card's number and that a detail repeats from the request.
    fn without_card_numbers(mut self) -> Self {
        for error in &mut self.errors {
            if card::contains_number(&error.pointer) {
                error.pointer.clear();
            }
            if card::contains_number(&error.detail) {
                "looks like a card number".clone_into(&mut error.detail);
            }
        }
        if card::contains_number(&self.detail) {
            "the request is refused; it holds what looks like a card number".clone_into(&mut self.detail);
        }
        self
    }

    /// 422 with the fields at fault.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = "the request's content is not acceptable";
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation-failed", detail) }
    }

    /// 400 for a malformed query parameter or header.
    #[must_use]
    pub fn bad_parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let error = FieldError { pointer: format!("?{name}"), detail: detail.clone() };
        Self { errors: vec![error], ..Self::new(StatusCode::BAD_REQUEST, "bad-parameter", detail) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::StaleVersion => StatusCode::PRECONDITION_FAILED,
        };
        Self::new(status, &refusal.code, refusal.detail)
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::Refused(refusal) => refusal.into(),
            CommandError::BodyMismatch => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail)
            }
            CommandError::InFlight => {
                Self { retry_after: Some(1), ..Self::new(StatusCode::CONFLICT, "in-flight", detail) }
            }
            CommandError::OutcomeUnknown(id) => Unserved::OutcomeUnknown(id).problem(detail),
            // Nothing was done; who asks again may meet another owner, or storage that is back.
            CommandError::Overloaded | CommandError::NotOwner { .. } | CommandError::Unavailable(_) => {
                Unserved::Overloaded.problem(detail)
            }
            CommandError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "command-too-large", detail)
            }
            CommandError::Internal(reason) => {
                tracing::error!(reason, "a command failed for an internal reason");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "an internal error; it has been logged",
                )
            }
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unavailable(_) => Unserved::Overloaded.problem(error.to_string()),
            KeyError::Erased => Self::new(StatusCode::CONFLICT, "subject-erased", error.to_string()),
            KeyError::Broken => {
                tracing::error!(%error, "personal data can't be opened");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, allow) = (self.retry_after, self.allow.clone());
        let mut response = (status, Json(self.without_card_numbers())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tillstream\""));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = allow.and_then(|a| HeaderValue::from_str(&a).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}
