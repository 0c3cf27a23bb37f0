//! `tillstream openapi`: the document that the server serves.

use std::process::ExitCode;

use super::out;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    out::line(serde_json::to_string_pretty(&crate::http::openapi())?);
    Ok(ExitCode::SUCCESS)
}
