//! The binary `tillstream`; see `infra::cli`.

use std::process::ExitCode;

use infra::shop::commands::ShopCommands;

/// Many small allocations on several threads are what the write path and the projections spend their time on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    infra::cli::run::<ShopCommands>(infra::shop::application)
}
