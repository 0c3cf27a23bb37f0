//! SIGTERM and SIGINT: the first asks every command to end gracefully. A SIGINT after that ends the process at once: somebody
//! pressed Ctrl-C again. A further SIGTERM changes nothing, since supervisors send it to a whole group, and some twice.

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
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if asked.is_cancelled() {
                if name == "SIGINT" {
                    tracing::warn!("ending at once");
                    std::process::exit(130);
                }
                continue;
            }
            tracing::info!(signal = name, "ending gracefully; Ctrl-C ends at once");
            asked.cancel();
        }
    });
    Ok(token)
}
