//! The command line of another application: see `tests::board`.

use std::process::ExitCode;

use infra::cli::NoCommands;

fn main() -> ExitCode {
    infra::cli::run::<NoCommands>(tests::board::application)
}
