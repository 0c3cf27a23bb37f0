//! Stores on Cassandra for tests, each in a keyspace of its own that goes with it.

use infra::cassandra::{CassandraLog, CassandraUrl};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

use crate::engines::{engines, fresh_name};

/// A new, empty store; its keyspace is dropped with the value.
pub struct Keyspace {
    /// Its URL.
    pub url: CassandraUrl,
}

impl Keyspace {
    /// A name of its own, without a keyspace yet.
    ///
    /// # Panics
    /// When the environment names no engines.
    #[must_use]
    pub fn unmade() -> Self {
        let url = format!("cassandra://{}/{}", engines().cassandra, fresh_name());
        Self { url: url.parse().expect("a URL") }
    }

    /// A store of so many shards.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn new(shards: u16) -> Self {
        let keyspace = Self::unmade();
        CassandraLog::migrate(&keyspace.url, shards).await.expect("a new store");
        keyspace
    }

    /// Opens it.
    ///
    /// # Panics
    /// When it can't be opened.
    pub async fn open(&self) -> CassandraLog {
        CassandraLog::open(&self.url).await.expect("the store")
    }

    /// A session without anything of ours, in the keyspace.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn session(&self) -> Session {
        let session = connect(&self.url).await;
        session.use_keyspace(self.url.keyspace(), true).await.expect("the keyspace");
        session
    }
}

async fn connect(url: &CassandraUrl) -> Session {
    let builder = SessionBuilder::new().known_nodes(url.hosts()).keyspaces_to_fetch([url.keyspace()]);
    builder.build().await.expect("a session")
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        let url = self.url.clone();
        // The test's own runtime may be of one thread, which is busy here.
        let drop = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let drop = format!("DROP KEYSPACE IF EXISTS {}", url.keyspace());
                connect(&url).await.query_unpaged(drop, &[]).await.expect("the keyspace to go");
            });
        });
        if drop.join().is_err() && !std::thread::panicking() {
            panic!("a keyspace was left behind");
        }
    }
}
