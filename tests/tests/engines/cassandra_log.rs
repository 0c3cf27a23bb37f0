//! The log port's contract over Cassandra, and what only it can show.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::frame::{FrameView, Slot};
use domain::ports::log::EventLog;
use tests::cassandra::Keyspace;
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

tests::log_port_contract!(CassandraFactory::new().await);
