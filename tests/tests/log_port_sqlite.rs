//! The SQLite log passes the contract of the port, and what only it can show.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use domain::frame::{FrameView, Slot};
use domain::ports::log::EventLog;
use domain::position::{Position, Shard};
use infra::data_dir::{DataDir, DataDirError};
use infra::sqlite::log::{DERIVED_FILE, LOG_FILE, OpenError, SqliteLog};
use infra::verify::verify_store;
use rusqlite::Connection;
use tempfile::TempDir;
use tests::contract::chain::Chain;
use tests::contract::log_port::{LogFactory, SHARDS};

struct SqliteFactory {
    dir: TempDir,
}

impl SqliteFactory {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn sql(&self, file: &str) -> Connection {
        Connection::open(self.dir.path().join(file)).unwrap()
    }
}

fn open(dir: &Path) -> Arc<SqliteLog> {
    Arc::new(SqliteLog::open(dir, SHARDS).unwrap())
}

#[async_trait]
impl LogFactory for SqliteFactory {
    async fn open(&self) -> Arc<dyn EventLog> {
        open(self.dir.path())
    }

    async fn tamper(&self, slot: Slot, bytes: Option<&[u8]>) {
        let key = i64::from(slot.shard.0) << 48 | i64::try_from(slot.frame).unwrap();
        let conn = self.sql(LOG_FILE);
        let changed = match bytes {
            Some(bytes) => conn.execute(
                "INSERT INTO log (slot, last_position, bytes) VALUES (?1, ?3, ?2)
                 ON CONFLICT (slot) DO UPDATE SET bytes = excluded.bytes",
                (key, bytes, FrameView::parse(bytes).map_or(0, |frame| frame.header.last_position())),
            ),
            None => conn.execute("DELETE FROM log WHERE slot = ?1", [key]),
        };
        assert_eq!(changed.unwrap(), 1);
    }
}

tests::log_port_contract!(SqliteFactory::new());

// proves: P1
#[test]
fn a_data_directory_is_opened_once() {
    let temp = tempfile::tempdir().unwrap();
    let held = DataDir::open(temp.path()).unwrap();
    let refused = DataDir::open(temp.path()).unwrap_err();
    assert!(matches!(refused, DataDirError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(temp.path().to_str().unwrap()), "{refused}");
    drop(held);
    DataDir::open(temp.path()).unwrap();
}

// proves: EVT-1
#[test]
fn the_number_of_shards_is_fixed() {
    let factory = SqliteFactory::new();
    drop(open(factory.dir.path()));
    let Err(refused) = SqliteLog::open(factory.dir.path(), SHARDS * 2) else { panic!("N was changed") };
    assert!(matches!(refused, OpenError::OtherShards { stored: SHARDS, .. }), "{refused}");
}

/// Three frames of one stream with their derived rows, in shard 1.
async fn derived_store(factory: &SqliteFactory) -> Arc<SqliteLog> {
    let log = open(factory.dir.path());
    let mut chain = Chain::new(&*log, Shard(1));
    let stream = chain.stream();
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.push(chain.decide(&*log, &[(&stream, 2)]).await);
    }
    log.write_derived(Shard(1), &frames).await.unwrap();
    log
}

// proves: P8
#[tokio::test]
async fn derived_rows_that_differ_from_the_log_are_found_and_located() {
    let changes = [
        ("UPDATE pointers SET event = 0 WHERE version = 4", 4),
        ("DELETE FROM pointers WHERE version = 3", 3),
        ("UPDATE pointers SET frame = 1 WHERE version = 5", 5),
        ("DELETE FROM command_results WHERE frame = 2", 3),
        ("INSERT INTO pointers SELECT shard, stream, 7, 3, 1 FROM pointers WHERE version = 6", 6),
    ];
    for (change, n) in changes {
        let factory = SqliteFactory::new();
        let log = derived_store(&factory).await;
        assert!(verify_store(&*log, |_, _| {}).await.unwrap().ok);
        assert_eq!(factory.sql(DERIVED_FILE).execute(change, []).unwrap(), 1, "{change}");
        let report = verify_store(&*log, |_, _| {}).await.unwrap();
        assert_eq!(
            report.first_fault,
            Some(Position { shard: Shard(1), n }),
            "{change}: {:?}",
            report.fault_reason
        );
    }
}

// proves: P8
#[tokio::test]
async fn an_index_of_positions_that_differs_from_the_frames_is_found_and_located() {
    let factory = SqliteFactory::new();
    let log = derived_store(&factory).await;
    let slot = (1_i64 << 48) | 2;
    for wrong in ["last_position + 1", "-1", "0"] {
        let change = format!("UPDATE log SET last_position = {wrong} WHERE slot = {slot}");
        assert_eq!(factory.sql(LOG_FILE).execute(&change, []).unwrap(), 1);
        let report = verify_store(&*log, |_, _| {}).await.unwrap();
        assert_eq!(
            report.first_fault,
            Some(Position { shard: Shard(1), n: 4 }),
            "{wrong}: {:?}",
            report.fault_reason
        );
    }
}

// proves: P8, AUD-3
#[tokio::test]
async fn a_byte_changed_in_the_file_itself_is_found_after_a_restart() {
    let factory = SqliteFactory::new();
    let log = derived_store(&factory).await;
    let marks = log.read_slot(Slot { shard: Shard(1), frame: 2 }).await.unwrap().unwrap();
    drop(log);
    let path = factory.dir.path().join(LOG_FILE);
    let mut file = std::fs::read(&path).unwrap();
    // The last byte of the payload of the frame's first event, 1:3.
    let payload = b"order.noted";
    let start = file.windows(64).position(|window| window == &marks[..64]).unwrap();
    let event = start + file[start..].windows(payload.len()).position(|window| window == payload).unwrap();
    file[event + 2] ^= 1;
    std::fs::write(&path, file).unwrap();

    let log = open(factory.dir.path());
    let report = verify_store(&*log, |_, _| {}).await.unwrap();
    assert_eq!(report.first_fault, Some(Position { shard: Shard(1), n: 3 }), "{:?}", report.fault_reason);
}
