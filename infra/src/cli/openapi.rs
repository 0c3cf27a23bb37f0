//! `tillstream openapi`: the document that the server serves.

use std::process::ExitCode;

use super::out;
use crate::application::Application;
use crate::http::openapi;

pub(super) fn run(application: &Application) -> anyhow::Result<ExitCode> {
    out::line(serde_json::to_string_pretty(&openapi(application))?);
    Ok(ExitCode::SUCCESS)
}
