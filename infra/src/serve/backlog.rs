//! Back-pressure: acceptance slows while fulfilment or the read models are behind, rather than a backlog without limit.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest};
use domain::frame::DecidedFrame;
use domain::merkle::Hash;
use domain::ports::clock::Clock;
use domain::ports::feed::FanOut;
use domain::ports::gateway::{CommandGateway, StreamView};
use domain::position::Shard;
use domain::stream::StreamId;
use projections::engine::runner::Runner;
use tokio::sync::Semaphore;

use super::read_pace::ReadPace;
use crate::application::{Means, Pace};

/// An order that waits longer for its stock is late.
const LATE: TimeDelta = TimeDelta::seconds(2);
/// So many late orders, in the shards of this process, mean that fulfilment is behind. A few may be late for reasons of their own.
const TOO_MANY: usize = 64;
/// An order that waits longer isn't fulfilment's pace, but a saga that somebody has to look after.
const STUCK: TimeDelta = TimeDelta::seconds(60);

/// Read models that fall behind by no more hold nobody up.
const NEARLY: Duration = Duration::from_millis(250);
/// An order waits for as much as they fall further behind, and no longer than this.
const HOLD: Duration = Duration::from_secs(1);
/// So many orders may wait at once: they take the places of other requests.
const HELD: usize = 256;
/// Read models that fall behind by more mean that no further order is taken.
const FAR: Duration = Duration::from_secs(2);

/// The orders of this process's shards that wait for their stock, as the frames tell on their way to the feed.
pub(super) struct Backlog {
    feed: Arc<dyn FanOut>,
    clock: Arc<dyn Clock>,
    pace: Option<Pace>,
    waiting: Mutex<Waiting>,
    read_pace: ReadPace,
}

#[derive(Default)]
struct Waiting {
    since: HashMap<StreamId, Timestamp>,
    by_age: BTreeSet<(Timestamp, StreamId)>,
}

impl Waiting {
    fn begin(&mut self, saga: &StreamId, at: Timestamp) {
        self.end(saga);
        self.since.insert(saga.clone(), at);
        self.by_age.insert((at, saga.clone()));
    }

    fn end(&mut self, saga: &StreamId) {
        if let Some(at) = self.since.remove(saga) {
            self.by_age.remove(&(at, saga.clone()));
        }
    }

    fn forget_before(&mut self, at: Timestamp) {
        while self.by_age.first().is_some_and(|(since, _)| *since < at) {
            if let Some((_, saga)) = self.by_age.pop_first() {
                self.since.remove(&saga);
            }
        }
    }
}

impl Backlog {
    /// Stands before the feed.
    pub(super) fn before(feed: Arc<dyn FanOut>, clock: Arc<dyn Clock>, pace: Option<Pace>) -> Arc<Self> {
        Arc::new(Self { feed, clock, pace, waiting: Mutex::default(), read_pace: ReadPace::default() })
    }

    /// How far read models fall behind what is decided here; see [`ReadPace::behind`].
    pub(super) fn falls_behind(&self, readers: &[Arc<Runner>]) -> Duration {
        let behind = |runner: &Arc<Runner>| {
            self.read_pace.behind(|shard| runner.applied(shard)).saturating_sub(runner.rest())
        };
        readers.iter().map(behind).max().unwrap_or_default()
    }

    /// Notes which work a frame begins, and which nobody waits for any more.
    fn note(&self, pace: Pace, frame: &DecidedFrame) {
        let told = frame.events.iter().map(|event| (event, (pace.means)(event)));
        let mut told = told.filter(|(_, means)| *means != Means::Nothing).peekable();
        if told.peek().is_none() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (event, means) in told {
            match means {
                Means::Begun => waiting.begin(&event.stream, event.time),
                Means::Answered => waiting.end(&event.stream),
                Means::Nothing => {}
            }
        }
    }

    /// Whether too many orders are late.
    fn is_behind(&self) -> bool {
        let now = self.clock.now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.forget_before(now - STUCK);
        waiting.by_age.iter().take_while(|(since, _)| *since < now - LATE).nth(TOO_MANY - 1).is_some()
    }
}

impl FanOut for Backlog {
    fn publish(&self, frame: Arc<DecidedFrame>) {
        self.read_pace.decided(&frame);
        if let Some(pace) = self.pace {
            self.note(pace, &frame);
        }
        self.feed.publish(frame);
    }
}

/// Tells how far read models fall behind.
type FallsBehind = Box<dyn Fn() -> Duration + Send + Sync>;

/// A way to the owners that takes orders at the pace of what follows them: slower while the read models of this process fall behind, and none while
/// they or fulfilment are far behind.
pub(super) struct Braked {
    gateway: Arc<dyn CommandGateway>,
    backlog: Arc<Backlog>,
    read_side: FallsBehind,
    held: Semaphore,
}

impl Braked {
    pub(super) fn new(
        gateway: Arc<dyn CommandGateway>,
        backlog: Arc<Backlog>,
        read_side: FallsBehind,
    ) -> Self {
        Self { gateway, backlog, read_side, held: Semaphore::new(HELD) }
    }

    /// Whether too much is outstanding for another order.
    fn is_behind(&self) -> bool {
        (self.read_side)() > FAR || self.backlog.is_behind()
    }

    /// Waits until an order may go on.
    async fn keep_pace(&self) -> Result<(), CommandError> {
        let hold = (self.read_side)().saturating_sub(NEARLY).min(HOLD);
        if !hold.is_zero() && !self.is_behind() {
            let _held = self.held.try_acquire().map_err(|_| CommandError::Overloaded)?;
            tokio::time::sleep(hold).await;
        }
        if self.is_behind() { Err(CommandError::Overloaded) } else { Ok(()) }
    }
}

#[async_trait]
impl CommandGateway for Braked {
    fn shards(&self) -> u16 {
        self.gateway.shards()
    }

    async fn submit(&self, command: CommandRequest) -> Result<Accepted, CommandError> {
        let makes_more = |pace: Pace| command.steps.iter().any(|step| (pace.makes_more)(&*step.command));
        if self.backlog.pace.is_some_and(makes_more) {
            self.keep_pace().await?;
        }
        self.gateway.submit(command).await
    }

    async fn read(&self, streams: &[StreamId]) -> Result<Vec<StreamView>, CommandError> {
        self.gateway.read(streams).await
    }

    async fn answered(
        &self,
        shard: Shard,
        id: CommandId,
        body_hash: &Hash,
    ) -> Result<Option<Accepted>, CommandError> {
        self.gateway.answered(shard, id, body_hash).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use domain::command::Step;
    use domain::event::{EventMeta, NewEvent, encode_event};
    use domain::frame::{CommandRecord, Tail, encode_frame};
    use domain::ordering::order::{OrderCommand, ShippingAddress};
    use domain::stream::DEFAULT_TENANT;
    use uuid::Uuid;

    use super::*;

    /// Counts what gets through.
    #[derive(Default)]
    struct Through(AtomicUsize);

    impl FanOut for Through {
        fn publish(&self, _: Arc<DecidedFrame>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[async_trait]
    impl CommandGateway for Through {
        fn shards(&self) -> u16 {
            1
        }

        async fn submit(&self, _: CommandRequest) -> Result<Accepted, CommandError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(CommandError::InFlight)
        }

        async fn read(&self, _: &[StreamId]) -> Result<Vec<StreamView>, CommandError> {
            Ok(Vec::new())
        }

        async fn answered(&self, _: Shard, _: CommandId, _: &Hash) -> Result<Option<Accepted>, CommandError> {
            Ok(None)
        }
    }

    struct At(Mutex<Timestamp>);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    fn frame(saga: usize, event_type: &'static str, time: Timestamp) -> Arc<DecidedFrame> {
        let stream = StreamId::new(DEFAULT_TENANT, sagas::fulfilment::KIND, Uuid::from_u128(saga as u128));
        let id = CommandId::fresh();
        let (correlation_id, causation_id, actor) = (id.0, id.0, "system:test");
        let meta =
            EventMeta { id: id.0, time, stream: &stream, version: 1, correlation_id, causation_id, actor };
        let event = NewEvent { event_type: event_type.into(), schema_version: 1, data: "{}".into() };
        let mut stored = Vec::new();
        encode_event(&meta, &event, &mut stored);
        let record = CommandRecord { id, body_hash: [0; 32], first_event: 0, events: 1, answer: Vec::new() };
        let frame = encode_frame(id.0, &Tail::empty(Shard(0)), 1, id.0, &[stored], &[record]);
        Arc::new(DecidedFrame::decode(&frame.bytes).unwrap())
    }

    fn order() -> CommandRequest {
        let sealed = || domain::personal::Sealed::from_text("v1.x".into());
        let shipping_address = ShippingAddress {
            name: sealed(),
            line1: sealed(),
            city: sealed(),
            postal_code: sealed(),
            country: "DE".into(),
        };
        let place = OrderCommand::Place {
            customer_id: Uuid::nil(),
            lines: Vec::new(),
            payment_method: "tok".into(),
            shipping_address,
            parts: None,
        };
        let stream = StreamId::new(DEFAULT_TENANT, "order", Uuid::nil());
        CommandRequest::new(CommandId::fresh(), "user:test", vec![Step::new(stream, place)])
    }

    fn other() -> CommandRequest {
        let stream = StreamId::new(DEFAULT_TENANT, "order", Uuid::nil());
        let cancel = OrderCommand::RequestCancellation;
        CommandRequest::new(CommandId::fresh(), "user:test", vec![Step::new(stream, cancel)])
    }

    // proves: SEC-10
    #[tokio::test]
    async fn no_order_is_taken_while_too_many_wait_for_their_stock() {
        let start = Timestamp::from_timestamp(1_735_689_600, 0).unwrap();
        let clock = Arc::new(At(Mutex::new(start)));
        let (feed, owners) = (Arc::new(Through::default()), Arc::new(Through::default()));
        let backlog = Backlog::before(feed.clone(), clock.clone(), Some(crate::shop::PACE));
        let read_side = Box::new(|| Duration::ZERO);
        let braked = Braked::new(owners.clone(), Arc::clone(&backlog), read_side);
        for saga in 0..TOO_MANY {
            backlog.publish(frame(saga, "fulfilment.started", start));
            backlog.publish(frame(saga, "fulfilment.step_requested", start));
        }
        assert_eq!(feed.0.load(Ordering::Relaxed), TOO_MANY * 2, "frames go on");
        let ask = |request| braked.submit(request);
        assert_eq!(ask(order()).await, Err(CommandError::InFlight), "they are not late yet");
        *clock.0.lock().unwrap() = start + LATE + TimeDelta::milliseconds(1);
        assert_eq!(ask(order()).await, Err(CommandError::Overloaded));
        assert_eq!(ask(other()).await, Err(CommandError::InFlight), "only orders have to wait");
        backlog.publish(frame(7, "fulfilment.step_finished", start));
        assert_eq!(ask(order()).await, Err(CommandError::InFlight), "one has heard of its stock");
        backlog.publish(frame(7, "fulfilment.started", start));
        assert_eq!(ask(order()).await, Err(CommandError::Overloaded));
        *clock.0.lock().unwrap() = start + STUCK + TimeDelta::milliseconds(1);
        assert_eq!(ask(order()).await, Err(CommandError::InFlight), "sagas that are stuck hold nobody up");
        assert_eq!(owners.0.load(Ordering::Relaxed), 4);
    }

    // proves: SEC-10
    #[tokio::test(start_paused = true)]
    async fn orders_are_taken_slower_while_the_read_models_fall_behind_and_not_at_all_while_they_are_far_behind()
     {
        let owners = Arc::new(Through::default());
        let backlog = Backlog::before(
            owners.clone(),
            Arc::new(At(Mutex::new(Timestamp::UNIX_EPOCH))),
            Some(crate::shop::PACE),
        );
        let behind = Arc::new(Mutex::new(Duration::ZERO));
        let told = Arc::clone(&behind);
        let read_side = Box::new(move || *told.lock().unwrap());
        let braked = Braked::new(owners.clone(), backlog, read_side);
        let set = |lag| *behind.lock().unwrap() = lag;
        let took = async |request, lag| {
            set(lag);
            let start = tokio::time::Instant::now();
            (braked.submit(request).await, start.elapsed().as_millis())
        };
        let more = Duration::from_millis(100);
        assert_eq!(took(order(), NEARLY).await, (Err(CommandError::InFlight), 0));
        assert_eq!(took(order(), NEARLY + more).await, (Err(CommandError::InFlight), 100));
        assert_eq!(took(order(), FAR).await, (Err(CommandError::InFlight), HOLD.as_millis()));
        assert_eq!(took(order(), FAR + more).await, (Err(CommandError::Overloaded), 0));
        assert_eq!(
            took(other(), FAR + more).await,
            (Err(CommandError::InFlight), 0),
            "only orders have to wait"
        );
    }
}
