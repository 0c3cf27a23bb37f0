//! What is on its way to Kafka, and what Kafka has acknowledged, since the producer began.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use domain::position::Shard;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// At most so many records of a shard are on their way at once.
pub(super) const MAX_UNACKED: usize = 4096;

/// The acknowledgements of one producer.
pub(super) struct Acks {
    /// Cancelled with the first error: nothing is acknowledged any more.
    pub(super) failed: CancellationToken,
    shards: Vec<ShardAcks>,
    /// At most so many bytes of a shard are on their way at once, plus one record.
    room: usize,
    settled: Notify,
}

struct ShardAcks {
    unacked: AtomicUsize,
    unacked_bytes: AtomicUsize,
    /// All records of frames up to this one were handed to the producer.
    sent_through: AtomicU64,
    /// All records of frames up to this one are acknowledged.
    acked_through: AtomicU64,
    /// The shard's task waits for room.
    blocked: AtomicBool,
    woken: Arc<Notify>,
}

/// What comes back with a record's delivery.
pub(super) struct Sent {
    pub(super) shard: Shard,
    pub(super) bytes: usize,
    /// The frame that ends with this record.
    pub(super) ends: Option<u64>,
}

impl Acks {
    pub(super) fn new(wakers: &[Arc<Notify>], room: usize) -> Self {
        let shard = |woken: &Arc<Notify>| ShardAcks {
            unacked: AtomicUsize::new(0),
            unacked_bytes: AtomicUsize::new(0),
            sent_through: AtomicU64::new(0),
            acked_through: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            woken: Arc::clone(woken),
        };
        Self {
            failed: CancellationToken::new(),
            shards: wakers.iter().map(shard).collect(),
            room,
            settled: Notify::new(),
        }
    }

    fn shard(&self, shard: Shard) -> &ShardAcks {
        &self.shards[usize::from(shard.0)]
    }

    /// Whether one more record may be sent; if not, the shard's task is woken when there is room.
    pub(super) fn has_room(&self, shard: Shard) -> bool {
        let acks = self.shard(shard);
        let room = || acks.unacked.load(SeqCst) < MAX_UNACKED && acks.unacked_bytes.load(SeqCst) < self.room;
        // Looked at again after saying so, since the last delivery may have come between.
        if room() {
            return true;
        }
        acks.blocked.store(true, SeqCst);
        room()
    }

    /// A record is about to be sent.
    pub(super) fn sending(&self, sent: &Sent) {
        let acks = self.shard(sent.shard);
        acks.unacked.fetch_add(1, SeqCst);
        acks.unacked_bytes.fetch_add(sent.bytes, SeqCst);
    }

    /// A record was not sent after all.
    pub(super) fn not_sent(&self, sent: &Sent) {
        self.release(sent);
    }

    /// All records of the frame, if any, were handed to the producer.
    pub(super) fn frame_sent(&self, shard: Shard, frame: u64) {
        self.shard(shard).sent_through.store(frame, SeqCst);
    }

    pub(super) fn delivered(&self, sent: &Sent) {
        // Nothing counts after an error: a record behind a missing one would claim that one too.
        if let Some(frame) = sent.ends
            && !self.failed.is_cancelled()
        {
            self.shard(sent.shard).acked_through.store(frame, SeqCst);
        }
        self.release(sent);
    }

    /// The first error ends it all; before any count goes down.
    pub(super) fn lost(&self, sent: &Sent) {
        self.failed.cancel();
        self.release(sent);
    }

    fn release(&self, sent: &Sent) {
        let acks = self.shard(sent.shard);
        acks.unacked_bytes.fetch_sub(sent.bytes, SeqCst);
        let left = acks.unacked.fetch_sub(1, SeqCst) - 1;
        if acks.blocked.swap(false, SeqCst) {
            acks.woken.notify_one();
        }
        if left == 0 {
            self.settled.notify_waiters();
        }
    }

    /// The last frame of the shard that this producer has published, itself and all before it; 0 for none.
    pub(super) fn acknowledged(&self, shard: Shard) -> u64 {
        let acks = self.shard(shard);
        // In this order: what was sent before is counted, and errors are told before they are counted off.
        let sent = acks.sent_through.load(SeqCst);
        let settled = acks.unacked.load(SeqCst) == 0;
        let acked = acks.acked_through.load(SeqCst);
        if settled && !self.failed.is_cancelled() { sent.max(acked) } else { acked }
    }

    /// Waits until nothing is on its way.
    pub(super) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.failed.is_cancelled() || self.shards.iter().all(|acks| acks.unacked.load(SeqCst) == 0) {
                return;
            }
            settled.await;
        }
    }
}
