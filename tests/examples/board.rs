//! The command line of another application: see `tests::board`.

use std::process::ExitCode;

fn main() -> ExitCode {
    infra::cli::run(tests::board::application)
}
