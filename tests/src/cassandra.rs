//! Stores on Cassandra for tests.
//!
//! Making a keyspace costs seconds of fsyncs on a busy disk, so used ones are emptied and used again, also by the next run. Each has
//! a file beside it that is locked by the process that uses it.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use infra::cassandra::{CassandraLog, CassandraUrl};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use uuid::Uuid;

use crate::engines::{engines, fresh_name};

/// The tables that make the name of a used keyspace: others lead to another one.
const TABLES: [&str; 2] = [
    include_str!("../../infra/src/cassandra/cql/0001_tables.cql"),
    include_str!("../../infra/src/cassandra/cql/0002_event_partitions.cql"),
];
/// What a test may have left in a keyspace.
const FILLED: [&str; 7] = [
    "log",
    "shard_progress",
    "derived_marks",
    "events_by_stream",
    "snapshots",
    "command_results",
    "instances",
];

/// A new, empty store.
pub struct Keyspace {
    /// Its URL.
    pub url: CassandraUrl,
    /// Held for as long as it is used; `None` for a keyspace that is dropped with the value.
    lock: Option<File>,
}

impl Keyspace {
    /// A name of its own, without a keyspace yet. A keyspace made there is dropped with the value.
    ///
    /// # Panics
    /// When the environment names no engines.
    #[must_use]
    pub fn unmade() -> Self {
        Self { url: url(&fresh_name()), lock: None }
    }

    /// A store of so many shards.
    ///
    /// # Panics
    /// When it can't be made.
    pub async fn new(shards: u16) -> Self {
        let (name, lock) = claim(shards);
        let keyspace = Self { url: url(&name), lock: Some(lock) };
        CassandraLog::migrate(&keyspace.url, shards).await.expect("a store");
        empty(&keyspace.session().await, shards).await;
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

fn url(keyspace: &str) -> CassandraUrl {
    format!("cassandra://{}/{keyspace}?timeout=30s", engines().cassandra).parse().expect("a URL")
}

/// The rows of a table, as they can be put back.
pub struct Rows {
    table: String,
    rows: Vec<String>,
}

impl Rows {
    /// Reads a table of the keyspace.
    ///
    /// # Panics
    /// When it can't be read.
    pub async fn copy(session: &Session, table: &str) -> Self {
        let table = table.to_owned();
        let rows = session.query_unpaged(format!("SELECT JSON * FROM {table}"), &[]).await.expect("rows");
        let rows = rows.into_rows_result().expect("rows");
        let rows = rows.rows::<(String,)>().expect("rows").map(|row| row.expect("a row").0).collect();
        Self { table, rows }
    }

    /// Makes the table what it was. The rows are older than whatever is written afterwards, as those of a restored copy are.
    ///
    /// # Panics
    /// When it can't be done.
    pub async fn put_back(&self, session: &Session) {
        session.query_unpaged(format!("TRUNCATE {}", self.table), &[]).await.expect("an empty table");
        let insert = format!("INSERT INTO {} JSON ? USING TIMESTAMP 1", self.table);
        for row in &self.rows {
            session.query_unpaged(insert.as_str(), (row,)).await.expect("a row");
        }
    }
}

async fn connect(url: &CassandraUrl) -> Session {
    let builder = SessionBuilder::new().known_nodes(url.hosts()).keyspaces_to_fetch([url.keyspace()]);
    builder.build().await.expect("a session")
}

/// The first keyspace for so many shards that no process uses.
fn claim(shards: u16) -> (String, File) {
    let tables =
        TABLES.concat().bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    // Locks of other engines are others.
    let server: String =
        engines().cassandra.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    for n in 0.. {
        let name = format!("used_{tables:08x}_{shards}_{n}");
        let path: PathBuf = std::env::temp_dir().join(format!("tillstream-{server}-{name}.lock"));
        let lock = File::options().create(true).append(true).open(path).expect("a lock file");
        if lock.try_lock().is_ok() && has_rested(&lock) {
            return (name, lock);
        }
    }
    unreachable!("there are more numbers than processes")
}

/// Whether nothing of a keyspace's last user can still be on its way: a write of theirs that Cassandra came to after the tables were emptied
/// would be taken for the next user's. Cassandra drops what it hasn't come to within its `write_request_timeout`, two seconds.
fn has_rested(lock: &File) -> bool {
    const REST: Duration = Duration::from_secs(4);
    let file = lock.metadata().expect("a lock file");
    // Nobody has written to it yet, so nobody has used the keyspace.
    file.len() == 0 || file.modified().expect("a time").elapsed().is_ok_and(|age| age > REST)
}

/// Makes a used store a new one, with an id of its own.
async fn empty(session: &Session, shards: u16) {
    let mut used = false;
    for table in FILLED {
        let first =
            session.query_unpaged(format!("SELECT * FROM {table} LIMIT 1"), &[]).await.expect("a read");
        used |= first.into_rows_result().expect("rows").rows_num() > 0;
    }
    // One that shows nothing may still hold deletions, which would hide what the next user writes.
    for table in FILLED.iter().filter(|_| used) {
        session.query_unpaged(format!("TRUNCATE {table}"), &[]).await.expect("an empty table");
    }
    let rows = "SELECT shard, beat FROM shard_owners";
    let rows = session.query_unpaged(rows, &[]).await.expect("owners").into_rows_result().expect("rows");
    let owners: Vec<(i32, i64)> = rows.rows().expect("owners").collect::<Result<_, _>>().expect("owners");
    assert_eq!(owners.len(), usize::from(shards));
    for (shard, _) in owners.into_iter().filter(|(_, beat)| *beat > 0) {
        let reset = "UPDATE shard_owners SET owner = null, address = null, epoch = 0, beat = 0 WHERE shard = ? IF EXISTS";
        session.query_unpaged(reset, (shard,)).await.expect("a free shard");
    }
    // Through the same Paxos as the row was made by.
    let id = "UPDATE store SET id = ? WHERE only_row = 1 IF EXISTS";
    session.query_unpaged(id, (Uuid::new_v4(),)).await.expect("a new id");
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        if let Some(lock) = &mut self.lock {
            // Its time says until when the keyspace was used.
            lock.write_all(b"used\n").expect("a lock file that can be written");
            return;
        }
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
