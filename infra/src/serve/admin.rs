//! The operators' own listener: metrics and health in full, where no crowd of callers is in the way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::connections::{self, Limits};
use crate::config::Listen;
use crate::config::sections::Http;
use crate::http::admission::Admission;
use crate::http::exposure::AdminAddress;

/// The file in the data directory that says where the operators' listener is; it is there only while there is one.
pub const ADMIN_ADDRESS_FILE: &str = "admin-address";

/// Connections of operators and their tools, altogether.
const MOST: usize = 64;
/// Between attempts to have an address that another process has.
const AGAIN: Duration = Duration::from_secs(5);

/// The operators' listener of one server.
pub(super) struct Admin {
    pub(super) listen: Listen,
    pub(super) router: Router,
    pub(super) address: AdminAddress,
    file: PathBuf,
    limits: Limits,
}

impl Admin {
    pub(super) fn new(config: &Http, router: Router, address: AdminAddress, data_dir: &Path) -> Self {
        let limits = Limits::new(config, Admission::of(MOST, MOST));
        Self { listen: config.admin_listen, router, address, file: data_dir.join(ADMIN_ADDRESS_FILE), limits }
    }

    /// Takes the address if it can be had. That of another process is no reason not to serve: it is tried again.
    pub(super) async fn bind(&self) -> Option<TcpListener> {
        // A process that was killed has left it.
        let _ = std::fs::remove_file(&self.file);
        let Listen::At(address) = self.listen else { return None };
        let bound = match TcpListener::bind(address).await {
            Ok(listener) => listener.local_addr().map(|address| (listener, address)),
            Err(error) => Err(error),
        };
        match bound {
            Ok((listener, address)) => {
                self.address.set(Some(address));
                if let Err(error) = std::fs::write(&self.file, format!("{address}\n")) {
                    tracing::warn!(%error, "{} can't be written", self.file.display());
                }
                tracing::info!(%address, "metrics and health are served here");
                Some(listener)
            }
            Err(error) => {
                tracing::warn!(
                    %address, %error,
                    "http.admin_listen can't be had and is tried again; until then http.listen serves metrics and health to \
                     this machine only"
                );
                None
            }
        }
    }

    /// Serves until shutdown.
    pub(super) async fn serve(self, bound: Option<TcpListener>, shutdown: CancellationToken) {
        let serving = async {
            let listener = match (bound, self.listen) {
                (Some(listener), _) => listener,
                (None, Listen::Off) => return,
                (None, Listen::At(_)) => loop {
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN) => {}
                        () = shutdown.cancelled() => return,
                    }
                    if let Some(listener) = self.bind().await {
                        break listener;
                    }
                },
            };
            connections::serve(listener, self.router.clone(), self.limits.clone(), &shutdown).await;
        };
        serving.await;
        self.address.set(None);
        // It names nobody any more.
        let _ = std::fs::remove_file(&self.file);
    }
}
