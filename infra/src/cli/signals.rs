//! SIGTERM and SIGINT: the first asks every command to end gracefully, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first signal.
///
/// # Errors
/// When the signals can't be listened to.
pub(crate) fn shutdown() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = token.clone();
    tokio::spawn(async move {
        for round in 0_u8.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if round > 0 {
                tracing::warn!(signal = name, "ending at once");
                std::process::exit(130);
            }
            tracing::info!(signal = name, "ending gracefully; a second signal ends at once");
            asked.cancel();
        }
    });
    Ok(token)
}
