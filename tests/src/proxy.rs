//! A TCP proxy on loopback between a client and an engine, which fails on command: replies are cut, everything is delayed,
//! nothing passes, or connections are severed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the bytes of every connection, open and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// They pass.
    Fair,
    /// What the client sends arrives; what the server answers is lost, and the connection is reset so long afterwards. So the
    /// client never learns the outcome of what it sent.
    RepliesCut(Duration),
    /// Every chunk of at most 64 KiB waits so long before it goes on, in both directions.
    Slow(Duration),
    /// Nothing passes, and nobody is told: a network that is gone.
    Blackhole,
    /// Open connections are reset, new ones as soon as they are made.
    Severed,
}

/// A running proxy. It ends when it is dropped, and its connections with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    harm: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// A proxy to the server at `to` (`host:port`), in fair weather, on a free port.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(to: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, to) = (listener.local_addr()?, to.to_owned());
        let (weather, seen) = watch::channel(Weather::Fair);
        let harm = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&harm);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, to.clone(), seen.clone(), Arc::clone(&counter)));
            }
        });
        Ok(Self { address, weather, harm, listening })
    }

    /// Where it listens: `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes the weather for all connections.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// How often bad weather did something by now: lost a reply, held bytes up, or broke a connection.
    #[must_use]
    pub fn harm(&self) -> u64 {
        self.harm.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The sender goes with it, which ends the connections.
        self.listening.abort();
    }
}

async fn connection(client: TcpStream, to: String, weather: watch::Receiver<Weather>, harm: Arc<AtomicU64>) {
    // A reset rather than an orderly end when it is dropped in bad weather.
    let Ok(()) = client.set_zero_linger() else { return };
    if *weather.borrow() == Weather::Severed {
        harm.fetch_add(1, Ordering::Relaxed);
        return;
    }
    // A server that is down looks the same from here as one that ends the connection.
    let Ok(server) = TcpStream::connect(&to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, weather.clone(), Way::Request, &harm) => {}
        () = pump(from_server, to_client, weather.clone(), Way::Reply, &harm) => {}
        () = severed(weather, &harm) => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

/// Returns when the weather severs the connection, or the proxy is gone.
async fn severed(mut weather: watch::Receiver<Weather>, harm: &AtomicU64) {
    if weather.wait_for(|weather| *weather == Weather::Severed).await.is_ok() {
        harm.fetch_add(1, Ordering::Relaxed);
    }
}

/// Carries bytes until either end is closed, or replies were cut for long enough.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    way: Way,
    harm: &AtomicU64,
) {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let n = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(n) => n,
        };
        let now = *weather.borrow();
        let reply_cut = matches!(now, Weather::RepliesCut(_)) && way == Way::Reply;
        if reply_cut || matches!(now, Weather::Slow(_) | Weather::Blackhole) {
            harm.fetch_add(1, Ordering::Relaxed);
        }
        match now {
            Weather::RepliesCut(after) if reply_cut => {
                // The reply is dropped; the weather may change meanwhile, and the bytes are lost all the same.
                tokio::time::sleep(after).await;
                return;
            }
            Weather::Slow(delay) => tokio::time::sleep(delay).await,
            Weather::Blackhole => {
                let Ok(_) = weather.wait_for(|weather| *weather != Weather::Blackhole).await else { return };
            }
            Weather::Fair | Weather::RepliesCut(_) | Weather::Severed => {}
        }
        if to.write_all(&chunk[..n]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream, within: Duration) -> Option<std::io::Result<u8>> {
        let _ = stream.write_all(b"x").await;
        tokio::time::timeout(within, stream.read_u8()).await.ok()
    }

    #[tokio::test]
    async fn it_forwards_cuts_delays_swallows_and_severs() {
        let soon = crate::shop::SETTLES_WITHIN;
        let proxy = Proxy::start(&echo().await).await.unwrap();
        let open = async || TcpStream::connect(proxy.address()).await.unwrap();
        let mut stream = open().await;
        assert_eq!(ask(&mut stream, soon).await.unwrap().unwrap(), b'x');
        assert_eq!(proxy.harm(), 0);

        proxy.set(Weather::Slow(Duration::from_millis(50)));
        let started = std::time::Instant::now();
        assert_eq!(ask(&mut stream, soon).await.unwrap().unwrap(), b'x');
        assert!(started.elapsed() >= Duration::from_millis(100));

        proxy.set(Weather::Blackhole);
        assert!(ask(&mut stream, Duration::from_millis(100)).await.is_none());
        proxy.set(Weather::Fair);
        assert_eq!(tokio::time::timeout(soon, stream.read_u8()).await.unwrap().unwrap(), b'x');

        let before = proxy.harm();
        proxy.set(Weather::RepliesCut(Duration::from_millis(1)));
        assert!(ask(&mut stream, soon).await.unwrap().is_err());
        assert_eq!(proxy.harm(), before + 1);

        proxy.set(Weather::Fair);
        let mut stream = open().await;
        assert_eq!(ask(&mut stream, soon).await.unwrap().unwrap(), b'x');
        proxy.set(Weather::Severed);
        assert!(tokio::time::timeout(soon, stream.read_u8()).await.unwrap().is_err());
        assert!(ask(&mut open().await, soon).await.unwrap().is_err());
    }
}
