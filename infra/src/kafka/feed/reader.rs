//! One consumer's place in the feed.

use std::sync::Arc;

use async_trait::async_trait;
use domain::frame::FrameId;
use domain::ports::feed::{FeedEvent, FeedReader};
use domain::ports::log::LogError;
use domain::position::{Position, Seen, Shard};
use futures::{FutureExt, StreamExt};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::KafkaFeedShared;
use super::place::{KafkaPlace, PAGES_BYTES, Page};
use super::session::{Assigned, Session};
use crate::kafka::record::{decode, position, source};

/// At most about so many events that came through Kafka are handed out at once.
const BATCH: usize = 2000;
/// A shard's log may fail so often in turn before the reader tells, as long as nothing is known to be missing.
const FAILURES: u32 = 3;

pub(super) struct KafkaReader {
    shared: Arc<KafkaFeedShared>,
    group: String,
    source: String,
    /// Given back at the end.
    session: Option<Session>,
    assigned: watch::Receiver<Assigned>,
    now_assigned: Assigned,
    places: Vec<KafkaPlace>,
    /// What is handed out next; kept here, so that a call that is cancelled loses nothing.
    ready: Vec<FeedEvent>,
    /// The offsets after what is handed out next, and what was handed out before.
    offsets: Vec<Option<i64>>,
    pages: (mpsc::Sender<Page>, mpsc::Receiver<Page>),
    /// Tells what was decided in this process.
    decided_here: watch::Receiver<u64>,
    /// The shard whose turn it is to come first.
    turn: usize,
    failure: Option<LogError>,
}

impl KafkaReader {
    pub(super) fn new(shared: Arc<KafkaFeedShared>, group: &str, session: Session, seen: &Seen) -> Self {
        let shards = shared.store.shards;
        let place = |shard| KafkaPlace::new(shard, seen.last(shard));
        let assigned = session.assigned();
        let now_assigned = assigned.borrow().clone();
        Self {
            group: group.to_owned(),
            source: source(shared.store.id),
            session: Some(session),
            now_assigned,
            assigned,
            places: (0..shards).map(Shard).map(place).collect(),
            ready: Vec::new(),
            offsets: vec![None; usize::from(shards)],
            // One page per shard is read at a time, so the channel is never full.
            pages: mpsc::channel(usize::from(shards).max(1)),
            decided_here: shared.local.subscribe(),
            turn: 0,
            failure: None,
            shared,
        }
    }

    /// Follows the group's decisions.
    fn follow_assignment(&mut self) {
        if !self.assigned.has_changed().unwrap_or(false) {
            return;
        }
        let now = self.assigned.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.now_assigned, now);
        for place in &mut self.places {
            let fresh = self.now_assigned.has(place.shard) && !before.has(place.shard);
            if fresh || before.is_alone() != self.now_assigned.is_alone() {
                place.look_now();
            }
        }
    }

    /// Takes what was decided in this process, up to a batch, every shard a share of it.
    fn take_local(&mut self) {
        // Marked as seen before looking, so that what is published meanwhile ends the wait.
        self.decided_here.borrow_and_update();
        let local = &self.shared.local;
        let news =
            |place: &KafkaPlace| self.now_assigned.has(place.shard) && local.head(place.shard) > place.last;
        let shards = self.places.len();
        let ready: Vec<usize> =
            (0..shards).map(|n| (self.turn + n) % shards).filter(|at| news(&self.places[*at])).collect();
        if ready.is_empty() {
            return;
        }
        self.turn = (self.turn + 1) % shards;
        let share = (BATCH / ready.len()).max(1);
        let now = Instant::now();
        for at in ready {
            let place = &mut self.places[at];
            let before = self.ready.len();
            local.after(place.shard, place.last, share, &mut self.ready);
            match self.ready[before..].last().map(|fed| fed.position) {
                Some(last) => {
                    place.skip_to(last.n);
                    place.is_lively(now);
                    self.shared.decided(last);
                }
                // It doesn't reach back so far: the log does.
                None => place.is_decided(local.head(place.shard)),
            }
        }
    }

    /// Takes what Kafka has brought already, up to a batch of records, most of which may be repeats of what was decided here. It is asked whatever
    /// is at hand, since that keeps the consumer in its group.
    fn drain(&mut self) {
        let Some(consumer) = self.session.as_ref().and_then(Session::consumer).cloned() else { return };
        let mut stream = consumer.stream();
        for _ in 0..BATCH {
            match stream.next().now_or_never() {
                Some(Some(arrived)) => self.arrived(arrived),
                Some(None) | None => break,
            }
        }
    }

    fn arrived(&mut self, arrived: Result<BorrowedMessage<'_>, KafkaError>) {
        let message = match arrived {
            Ok(message) => message,
            // The driver goes on by itself; meanwhile the log is read.
            Err(error) => return tracing::debug!(%error, group = self.group, "kafka reports"),
        };
        let shard = u16::try_from(message.partition()).map_or(Shard(u16::MAX), Shard);
        let Some(place) = self.places.get_mut(usize::from(shard.0)) else { return };
        if !self.now_assigned.has(shard) {
            return;
        }
        // Repeats, and what is ahead of a gap, need not be read in full.
        match position(&message, &self.source) {
            Some(stated) if stated.n != place.last + 1 => {
                place.arrived(stated.n);
                if stated.n <= place.last && self.shared.local.head(shard) >= stated.n {
                    // It was decided here, and so was handed on before, or is with the next ones.
                    self.offsets[usize::from(shard.0)] = Some(message.offset() + 1);
                }
                return;
            }
            _ => {}
        }
        match decode(&message, &self.shared.store, &self.source) {
            Ok(record) => {
                if place.arrived(record.event.position.n) {
                    place.is_lively(Instant::now());
                    self.shared.decided(record.event.position);
                    self.offsets[usize::from(shard.0)] = Some(message.offset() + 1);
                    let frame = record.hash.map(|hash| FrameId { number: record.frame, hash });
                    self.ready.push(FeedEvent { event: Arc::new(record.event), frame });
                }
            }
            Err(foreign) => {
                tracing::warn!(%shard, offset = message.offset(), %foreign, "skipped a foreign record in the topic");
                place.look_now();
            }
        }
    }

    /// Starts the looks at the log that are due; they go on when this call is cancelled.
    fn look(&mut self) {
        let now = Instant::now();
        let page_bytes = PAGES_BYTES / self.places.len().max(1);
        for place in self.places.iter_mut().filter(|place| self.now_assigned.has(place.shard)) {
            if let Some(look) = place.look(now) {
                let (log, sender) = (Arc::clone(&self.shared.log), self.pages.0.clone());
                tokio::spawn(async move {
                    // The reader may be gone.
                    let _ = sender.send(look.read(log, page_bytes).await).await;
                });
            }
        }
    }

    fn take(&mut self, page: Page) {
        let Some(place) = self.places.get_mut(usize::from(page.shard.0)) else { return };
        if !self.now_assigned.has(place.shard) {
            // The shard went to another consumer meanwhile: these events are that one's.
            return place.discard();
        }
        let taken = place.take(page.read, self.now_assigned.is_alone(), &mut self.ready);
        self.shared.decided(Position { shard: place.shard, n: place.last });
        if let Err(error) = taken {
            let tell =
                matches!(error, LogError::Corrupt(..)) || place.is_behind() || place.failures >= FAILURES;
            tracing::warn!(shard = %place.shard, %error, "the log can't be read here; the other shards go on");
            if tell {
                self.failure = Some(error);
            }
        }
    }

    /// Tells Kafka what was handed out by the call before this one.
    fn tell_offsets(&mut self) {
        let Some(session) = &self.session else { return };
        for (shard, offset) in (0..).map(Shard).zip(&mut self.offsets) {
            if let Some(offset) = offset.take() {
                session.handed_on(shard, offset);
            }
        }
    }

    /// Waits for anything to happen.
    async fn wait(&mut self) {
        let due = self.places.iter().filter(|place| self.now_assigned.has(place.shard));
        let due = due.filter_map(KafkaPlace::due_at).min();
        let consumer = self.session.as_ref().and_then(Session::consumer).cloned();
        let Some(consumer) = consumer else { return };
        let woken = tokio::select! {
            biased;
            arrived = consumer.recv() => Woken::Arrived(arrived),
            Some(page) = self.pages.1.recv() => Woken::Page(page),
            // The senders live in the feed and in the consumer, which this reader keeps.
            _ = self.decided_here.changed() => Woken::Decided,
            _ = self.assigned.changed() => { self.assigned.mark_changed(); Woken::Assigned }
            () = async { match due { Some(due) => sleep_until(due).await, None => std::future::pending().await } } => Woken::Due,
        };
        match woken {
            Woken::Arrived(arrived) => self.arrived(arrived),
            Woken::Page(page) => self.take(page),
            Woken::Assigned | Woken::Decided | Woken::Due => {}
        }
    }
}

/// What ended a wait.
enum Woken<'a> {
    Arrived(Result<BorrowedMessage<'a>, KafkaError>),
    Page(Page),
    Assigned,
    Decided,
    Due,
}

#[async_trait]
impl FeedReader for KafkaReader {
    async fn next(&mut self) -> Result<Vec<FeedEvent>, LogError> {
        self.tell_offsets();
        loop {
            self.follow_assignment();
            self.take_local();
            self.drain();
            while let Ok(page) = self.pages.1.try_recv() {
                self.take(page);
            }
            self.look();
            if !self.ready.is_empty() {
                return Ok(std::mem::take(&mut self.ready));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            self.wait().await;
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.shared.put_by(std::mem::take(&mut self.group), session);
        }
    }
}
