//! The log port's contract over Cassandra, and what only it can show.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::frame::{FrameView, Slot};
use domain::ports::log::{Decision, EventLog, LogError, LogReader};
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use infra::cassandra::{CassandraLog, OpenError};
use tests::cassandra::Keyspace;
use tests::contract::chain::Chain;
use tests::contract::log_port::{LogFactory, SHARDS};

struct CassandraFactory {
    keyspace: Keyspace,
}

impl CassandraFactory {
    async fn new() -> Self {
        Self { keyspace: Keyspace::new(SHARDS).await }
    }
}

#[async_trait]
impl LogFactory for CassandraFactory {
    async fn open(&self) -> Arc<dyn EventLog> {
        Arc::new(self.keyspace.open().await)
    }

    async fn tamper(&self, slot: Slot, bytes: Option<&[u8]>) {
        let session = self.keyspace.session().await;
        let (shard, frame) = (i32::from(slot.shard.0), slot.frame as i64);
        let bucket = frame / 512;
        match bytes {
            Some(bytes) => {
                let (first, events) = FrameView::parse(bytes)
                    .map_or((1, 0), |frame| (frame.header.first_position as i64, frame.header.events as i64));
                let insert = "INSERT INTO log (shard, bucket, frame, first_position, events, bytes) VALUES (?, ?, ?, ?, ?, ?)";
                session.query_unpaged(insert, (shard, bucket, frame, first, events, bytes)).await.unwrap();
            }
            None => {
                let delete = "DELETE FROM log WHERE shard = ? AND bucket = ? AND frame = ?";
                session.query_unpaged(delete, (shard, bucket, frame)).await.unwrap();
            }
        }
    }
}

/// The column `id_prefix` of a stream whose id is a UUIDv7.
fn prefix(stream: &StreamId) -> &str {
    &stream.id()[..11]
}

tests::log_port_contract!(CassandraFactory::new().await);

// proves: OPS-1
#[tokio::test]
async fn a_keyspace_without_a_store_says_what_to_do() {
    let keyspace = Keyspace::unmade();
    let refused = CassandraLog::open(&keyspace.url).await.err().unwrap();
    assert!(matches!(refused, OpenError::Missing { .. }), "{refused}");
    assert!(refused.to_string().contains("tillstream migrate"), "{refused}");
    let nobody =
        CassandraLog::open(&"cassandra://127.0.0.1:1/t?timeout=1s".parse().unwrap()).await.err().unwrap();
    assert!(matches!(nobody, OpenError::Unreachable { .. }), "{nobody}");
}

// proves: OPS-1, EVT-1
#[tokio::test]
async fn migrating_again_changes_nothing() {
    let keyspace = Keyspace::unmade();
    let store = CassandraLog::migrate(&keyspace.url, 4).await.unwrap();
    let log = keyspace.open().await;
    assert_eq!(log.store(), store);
    let mut chain = Chain::new(&log, Shard(0));
    let stream = chain.stream();
    chain.decide(&log, &[(&stream, 1)]).await;
    assert_eq!(CassandraLog::migrate(&keyspace.url, 4).await.unwrap(), store);
    assert_eq!(log.head(Shard(0)).await.unwrap().n, 1);
    let refused = CassandraLog::migrate(&keyspace.url, 8).await.unwrap_err();
    assert!(matches!(refused, OpenError::OtherShards { stored: 4, asked: 8, .. }), "{refused}");
    assert!(matches!(CassandraLog::migrate(&keyspace.url, 0).await, Err(OpenError::Shards(0))));

    // What a newer program made.
    let session = keyspace.session().await;
    session.query_unpaged("INSERT INTO migrations (version, name) VALUES (99, 'later')", &[]).await.unwrap();
    for refused in [
        CassandraLog::migrate(&keyspace.url, 4).await.unwrap_err(),
        CassandraLog::open(&keyspace.url).await.err().unwrap(),
    ] {
        assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused}");
    }
}

/// The first layout kept each stream in partitions of its own.
// proves: P5
#[tokio::test]
async fn a_store_of_the_first_layout_has_its_derived_rows_made_again() {
    let keyspace = Keyspace::unmade();
    let store = CassandraLog::migrate(&keyspace.url, 2).await.unwrap();
    let log = keyspace.open().await;
    let (mut batches, mut streams) = (Vec::new(), Vec::new());
    for shard in [Shard(0), Shard(1)] {
        let mut chain = Chain::new(&log, shard);
        let stream = chain.stream();
        let frames = vec![chain.decide(&log, &[(&stream, 3)]).await];
        batches.push((shard, frames));
        streams.push(stream);
    }
    for (shard, batch) in &batches {
        log.write_derived(*shard, batch).await.unwrap();
    }
    let digest = log.derived_digest(Shard(1)).await.unwrap();
    let session = keyspace.session().await;
    session.query_unpaged("DROP TABLE events_by_stream", &[]).await.unwrap();
    let first = include_str!("../../../infra/src/cassandra/cql/0001_tables.cql");
    let table = first.split(";\n").find(|statement| statement.contains("EXISTS events_by_stream")).unwrap();
    session.query_unpaged(table, &[]).await.unwrap();
    session.query_unpaged("DELETE FROM migrations WHERE version IN (2, 3)", &[]).await.unwrap();
    let refused = CassandraLog::open(&keyspace.url).await.err().unwrap();
    assert!(matches!(refused, OpenError::Older { found: 1, .. }), "{refused}");

    let announce = "INSERT INTO instances (id, address) VALUES (uuid(), 'a') USING TTL 60";
    session.query_unpaged(announce, &[]).await.unwrap();
    let refused = CassandraLog::migrate(&keyspace.url, 2).await.unwrap_err();
    assert!(matches!(refused, OpenError::Running { running: 1, .. }), "{refused}");
    session.query_unpaged("TRUNCATE instances", &[]).await.unwrap();
    assert_eq!(CassandraLog::migrate(&keyspace.url, 2).await.unwrap(), store);
    let log = keyspace.open().await;
    for ((shard, batch), stream) in batches.iter().zip(&streams) {
        assert_eq!(log.progress(*shard).await.unwrap().derived_through, 0);
        assert!(log.read_stream(stream, 0, 10).await.unwrap().is_empty());
        log.write_derived(*shard, batch).await.unwrap();
        assert_eq!(log.read_stream(stream, 0, 10).await.unwrap().len(), 3);
    }
    assert_eq!(log.derived_digest(Shard(1)).await.unwrap(), digest);

    // A row that no read finds counts as none.
    let moved = format!(
        "INSERT INTO events_by_stream (shard, tenant, id_prefix, bucket, stream_type, stream_id, version, frame, event) \
         VALUES (1, 'default', 'elsewhere', 0, 'order', '{}', 4, 9, 0) USING TIMESTAMP 1",
        streams[1].id()
    );
    session.query_unpaged(moved, &[]).await.unwrap();
    assert_eq!(log.derived_digest(Shard(1)).await.unwrap(), digest);

    // What was lost of the log is noticed although derived rows have begun anew.
    log.drop_derived(Shard(1)).await.unwrap();
    session.query_unpaged("DELETE FROM log WHERE shard = 1 AND bucket = 0", &[]).await.unwrap();
    let refused = CassandraLog::open(&keyspace.url).await.err().unwrap();
    assert!(matches!(refused, OpenError::TailLost { known: 1, .. }), "{refused}");
}

/// The log was put back from an older copy and went on, or the rows are another store's.
// proves: EVT-7, P5
#[tokio::test]
async fn derived_rows_that_the_log_contradicts_are_refused_with_the_way_out() {
    let keyspace = Keyspace::new(1).await;
    let log = keyspace.open().await;
    let mut chain = Chain::new(&log, Shard(0));
    let stream = chain.stream();
    let frames = vec![chain.decide(&log, &[(&stream, 3)]).await];
    log.write_derived(Shard(0), &frames).await.unwrap();
    drop(keyspace.open().await);
    let session = keyspace.session().await;
    let derived =
        ["events_by_stream", "snapshots", "command_results", "derived_marks", "shard_progress"].join(" ");
    for (change, other) in [("hash = 0x00", false), ("store = 00000000-0000-0000-0000-000000000008", true)] {
        // Later than whatever was written, of any generation.
        let change = change.replace("0x00", &format!("0x{}", "00".repeat(32)));
        let update =
            format!("UPDATE derived_marks USING TIMESTAMP 1000000000000000 SET {change} WHERE shard = 0");
        session.query_unpaged(update, &[]).await.unwrap();
        let refused = CassandraLog::open(&keyspace.url).await.err().unwrap();
        match other {
            false => assert!(matches!(refused, OpenError::OtherFrame { .. }), "{refused}"),
            true => assert!(matches!(refused, OpenError::OtherLog { .. }), "{refused}"),
        }
        for table in derived.split(' ') {
            assert!(refused.to_string().contains(table), "{refused}");
            session.query_unpaged(format!("TRUNCATE {table}"), &[]).await.unwrap();
        }
        let log = keyspace.open().await;
        assert_eq!(log.progress(Shard(0)).await.unwrap().derived_through, 0);
        log.write_derived(Shard(0), &frames).await.unwrap();
        assert_eq!(log.read_stream(&stream, 0, 10).await.unwrap().len(), 3);
    }
}

// proves: OPS-3
#[tokio::test]
async fn the_servers_promises_are_told() {
    let keyspace = Keyspace::new(1).await;
    let log = keyspace.open().await;
    let promises = log.promises();
    assert!(promises.server.starts_with("cassandra 5."), "{promises:?}");
    let fact =
        |name: &str| promises.facts.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.as_str());
    assert_eq!(fact("paxos_variant"), Some("v2"), "{promises:?}");
    assert_eq!(fact("commitlog_sync"), Some("batch"), "{promises:?}");
    assert!(fact("replication").unwrap().starts_with("NetworkTopologyStrategy "), "{promises:?}");
    // One node has one copy.
    assert_eq!(promises.warnings.len(), 1, "{promises:?}");
}

/// Frames over several buckets of 512, some without events.
// proves: P2, P4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_searched_and_read_as_one_log() {
    const FRAMES: u64 = 1_100;
    let keyspace = Keyspace::new(1).await;
    let log = keyspace.open().await;
    let mut chain = Chain::new(&log, Shard(0));
    let stream = chain.stream();
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for n in 0..FRAMES {
        let frame = chain.proposal(&[(&stream, n % 3)]);
        chain.advance(&frame);
        bytes.push(frame.bytes.clone());
        places.extend((0..frame.header.events).map(|_| n + 1));
        assert_eq!(log.propose(Arc::new(frame)).await, Ok(Decision::Decided));
        // At the borders, the tail is found by a process that knows nothing.
        if [510, 511, 512, 1_023, 1_024].contains(&(n + 1)) {
            let fresh = keyspace.open().await;
            assert_eq!(fresh.head(Shard(0)).await.unwrap().n, chain.tail.head(), "after frame {}", n + 1);
        }
    }
    let log = keyspace.open().await;
    assert_eq!(log.read_frames(Shard(0), 1, 5_000, usize::MAX).await.unwrap(), bytes);
    assert_eq!(log.read_frames(Shard(0), 511, 3, usize::MAX).await.unwrap(), bytes[510..513]);
    assert_eq!(log.read_frames(Shard(0), FRAMES + 1, 3, usize::MAX).await.unwrap(), Vec::<Vec<u8>>::new());
    let ends = log.indexed_positions(Shard(0), 500, 600).await.unwrap().unwrap();
    assert_eq!(ends.len(), 600);
    for n in (1..=places.len()).step_by(37).chain([places.len()]) {
        let position = Position { shard: Shard(0), n: n as u64 };
        assert_eq!(log.frame_of_position(position).await, Ok(places[n - 1]), "{position}");
    }

    // A hole at the end of a bucket is not taken for the tail.
    let factory = CassandraFactory { keyspace };
    factory.tamper(Slot { shard: Shard(0), frame: 511 }, None).await;
    assert_eq!(log.read_frames(Shard(0), 1, 5_000, usize::MAX).await.unwrap().len(), 510);
    let hole = log.read_frames(Shard(0), 511, 10, usize::MAX).await;
    assert!(matches!(hole, Err(LogError::Corrupt(..))), "{hole:?}");
}

/// Derived rows know frames that the log lost.
// proves: P8
#[tokio::test]
async fn a_log_that_lost_its_tail_is_not_opened() {
    let factory = CassandraFactory::new().await;
    let log = factory.keyspace.open().await;
    let mut chain = Chain::new(&log, Shard(3));
    let stream = chain.stream();
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.push(chain.decide(&log, &[(&stream, 2)]).await);
    }
    log.write_derived(Shard(3), &frames).await.unwrap();
    factory.tamper(Slot { shard: Shard(3), frame: 3 }, None).await;
    let refused = CassandraLog::open(&factory.keyspace.url).await.err().unwrap();
    assert!(refused.to_string().starts_with("3:5: the log lost this position"), "{refused}");
}

/// A slow owner's rows that arrive after rows were dropped stay hidden, and a checkpoint that comes late never goes back.
// proves: P5, P6
#[tokio::test]
async fn late_writes_of_a_slow_owner_change_nothing() {
    let keyspace = Keyspace::new(1).await;
    let log = keyspace.open().await;
    let shard = Shard(0);
    let mut chain = Chain::new(&log, shard);
    let stream = chain.stream();
    let mut frames = Vec::new();
    for _ in 0..5 {
        frames.push(chain.decide(&log, &[(&stream, 1)]).await);
    }
    let batch = |upto: usize| frames[..upto].to_vec();
    let empty = log.derived_digest(shard).await.unwrap();
    log.write_derived(shard, &batch(5)).await.unwrap();
    let full = log.derived_digest(shard).await.unwrap();
    let session = keyspace.session().await;
    // What an owner that fell asleep with three of the frames would still send: the stamps of its time.
    let late = async || {
        for statement in [
            "UPDATE shard_progress USING TIMESTAMP 3 SET derived_through = 3, tail_hint = 3 WHERE shard = 0"
                .to_owned(),
            format!(
                "INSERT INTO events_by_stream (shard, tenant, id_prefix, bucket, stream_type, stream_id, version, frame, event) \
                 VALUES (0, 'default', '{}', 0, 'order', '{}', 3, 77, 7) USING TIMESTAMP 1",
                prefix(&stream),
                stream.id()
            ),
        ] {
            session.query_unpaged(statement, &[]).await.unwrap();
        }
    };
    let through = async || log.progress(shard).await.unwrap().derived_through;
    log.drop_derived(shard).await.unwrap();
    late().await;
    assert_eq!((through().await, log.derived_digest(shard).await.unwrap()), (0, empty));
    log.write_derived(shard, &batch(5)).await.unwrap();
    late().await;
    assert_eq!((through().await, log.derived_digest(shard).await.unwrap()), (5, full));
    assert_eq!(log.read_stream(&stream, 0, 10).await.unwrap().len(), 5);
}

/// More events of one stream than one partition takes, and payloads larger than a batch may be.
// proves: P5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_streams_and_large_events_are_read_back() {
    let keyspace = Keyspace::new(1).await;
    let log = keyspace.open().await;
    let mut chain = Chain::new(&log, Shard(0));
    let (long, large) = (chain.stream(), chain.stream());
    let mut frames =
        vec![chain.decide(&log, &[(&long, 1_020)]).await, chain.decide(&log, &[(&long, 20)]).await];
    chain = chain.padded(200 << 10);
    frames.push(chain.decide(&log, &[(&large, 4)]).await);
    log.write_derived(Shard(0), &frames).await.unwrap();
    for (stream, count, frames) in [(&long, 1_040, &frames[..2]), (&large, 4, &frames[2..])] {
        let expected: Vec<_> =
            frames.iter().flat_map(|frame| &frame.events).map(|event| (**event).clone()).collect();
        assert_eq!(expected.len(), count);
        assert!(log.read_stream(stream, 0, 10_000).await.unwrap() == expected);
        let tail = log.read_stream(stream, count as u64 - 2, 10).await.unwrap();
        assert!(tail == expected[count - 2..]);
    }
    assert!(
        log.read_stream(&long, 1_020, 10).await.unwrap().len() == 10,
        "over the border of two partitions"
    );
}

/// The same on a client that knows nothing of ours.
// proves: AUD-1, EVT-1
#[tokio::test]
async fn an_event_is_readable_in_plain_cql() {
    let keyspace = Keyspace::new(1).await;
    let log = keyspace.open().await;
    let mut chain = Chain::new(&log, Shard(0));
    let stream = chain.stream();
    let frame = chain.decide(&log, &[(&stream, 1)]).await;
    log.write_derived(Shard(0), &[frame]).await.unwrap();
    let select = "SELECT JSON version, event_type, payload, metadata FROM events_by_stream \
                  WHERE shard = 0 AND tenant = 'default' AND id_prefix = ? AND bucket = 0 AND stream_type = 'order' AND stream_id = ?";
    let rows = keyspace.session().await.query_unpaged(select, (prefix(&stream), stream.id())).await.unwrap();
    let (row,) = rows.into_rows_result().unwrap().single_row::<(String,)>().unwrap();
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    assert_eq!((&row["version"], &row["event_type"]), (&1.into(), &"order.noted".into()));
    assert_eq!(row["payload"], "{\"note\":\"\"}");
    let metadata: serde_json::Value = serde_json::from_str(row["metadata"].as_str().unwrap()).unwrap();
    assert_eq!(metadata["actor"], "system:contract");
    assert_eq!(metadata["time"], "2023-11-14T22:13:20.000000Z");
}
