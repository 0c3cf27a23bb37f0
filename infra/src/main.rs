//! The binary `tillstream`; see `infra::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    infra::cli::run()
}
