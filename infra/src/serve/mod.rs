//! Serving: the parts of one process put together, started and stopped in order. The caller owns the socket, the clock is the
//! machine's, and the shutdown signal is passed in.

mod admin;
mod app;
mod backlog;
mod command_line;
mod command_role;
mod connections;
mod no_room;
mod projection_role;
mod query_role;
mod read_pace;
mod saga_role;
mod verifier;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::admin::Admin;
use self::connections::Limits;
pub use admin::ADMIN_ADDRESS_FILE;
pub use app::App;
pub use command_line::CommandLine;
pub use command_role::CommandRole;
pub use projection_role::ProjectionRole;
pub use saga_role::SagaRole;

use crate::application::Application;
use crate::config::Config;
use crate::config::sections::Http;
use crate::http::open_files;

/// The file in the data directory that says where the server listens.
pub const ADDRESS_FILE: &str = "address";

/// How long operators' requests may take to finish when everything else has stopped.
const TELLS_ON: Duration = Duration::from_secs(1);

/// Connections that the operating system keeps until they are accepted; it may keep fewer. When it has no room for one, its caller is
/// told nothing and tries again after seconds.
const BACKLOG: u32 = 16_384;

/// Takes the address.
///
/// # Errors
/// When it is taken by another process, or can't be had.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listening = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "the address {address} is in use by another process; stop it, or choose another with --listen (port 0 takes a \
             free one)"
        ),
        _ => anyhow::anyhow!("can't listen on {address}: {error}"),
    })
}

/// A running server.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it tells operators how it is, if it has a listener of its own for them by now.
    pub admin: Option<SocketAddr>,
    /// Its parts.
    pub app: Arc<App>,
    task: JoinHandle<()>,
}

/// Opens everything of an application that the configuration names and serves on the listener until `shutdown` is cancelled.
///
/// # Errors
/// When a part can't be opened: the reason names it.
pub async fn start(
    application: &Application,
    config: &Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    start_when(application, config, listener, shutdown, async |_| Ok(())).await
}

/// The same, but the first request is taken when `before` has done what has to be there by then.
///
/// # Errors
/// When a part can't be opened, or `before` fails.
pub async fn start_when(
    application: &Application,
    config: &Config,
    listener: TcpListener,
    shutdown: CancellationToken,
    before: impl AsyncFnOnce(&App) -> anyhow::Result<()>,
) -> anyhow::Result<Running> {
    open_files::take_all();
    let address = listener.local_addr()?;
    let app = Arc::new(Box::pin(App::open(application, config, address)).await?);
    if let Err(error) = before(&app).await {
        app.stop().await;
        return Err(error);
    }
    std::fs::create_dir_all(&config.data.dir).with_context(|| config.data.dir.display().to_string())?;
    let file = config.data.dir.join(ADDRESS_FILE);
    std::fs::write(&file, format!("{address}\n")).with_context(|| file.display().to_string())?;
    tracing::info!(%address, "serving");
    let admin = Admin::new(&config.http, app.admin_router.clone(), app.admin.clone(), &config.data.dir);
    let bound = admin.bind().await;
    let admin_address = app.admin.get();
    // To the very end: whoever looks after the server sees it stop.
    let stopped = CancellationToken::new();
    let telling = tokio::spawn(admin.serve(bound, stopped.clone()));
    let serving = serve(Arc::clone(&app), listener, shutdown, config.http.clone());
    let task = tokio::spawn(async move {
        serving.await;
        stopped.cancel();
        let cut_off = telling.abort_handle();
        if tokio::time::timeout(TELLS_ON, telling).await.is_err() {
            cut_off.abort();
        }
    });
    Ok(Running { address, admin: admin_address, app, task })
}

/// Serves until shutdown. Then its shards go to others, which may ask it meanwhile; it accepts no more, finishes what was accepted,
/// and stops the parts.
async fn serve(app: Arc<App>, listener: TcpListener, shutdown: CancellationToken, config: Http) {
    let (drain, router) = (config.drain.0, app.router.clone());
    let closing = CancellationToken::new();
    let limits = Limits::new(&config, app.connections.clone());
    let serving = connections::serve(listener, router, limits, &closing);
    let ending = async {
        shutdown.cancelled().await;
        let end = Instant::now() + drain;
        // The other half is for the requests that are accepted until then.
        if tokio::time::timeout(drain / 2, app.hand_over()).await.is_err() {
            tracing::warn!("the shards take long to hand over; requests are no longer accepted all the same");
        }
        closing.cancel();
        tokio::time::sleep_until(end).await;
    };
    tokio::select! {
        () = serving => {}
        () = ending => {
            tracing::warn!(after = ?drain, "requests were still open and are cut off");
        }
    }
    app.stop().await;
    tracing::info!("stopped");
}

impl Running {
    /// Waits until it has ended, in order.
    ///
    /// # Errors
    /// When its task failed.
    pub async fn ended(self) -> anyhow::Result<()> {
        self.task.await.context("the server's task failed")
    }
}
