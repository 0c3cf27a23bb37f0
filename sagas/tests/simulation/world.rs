//! The shop's real aggregates and the real saga over a log and a read model in memory. Everything is there that the worker
//! sees, and nothing happens by itself: the tape decides when the read model moves and which replies get lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use domain::aggregate::{Registry, StreamMeta, StreamState};
use domain::command::{Accepted, CommandError, CommandId, CommandRequest, Step};
use domain::event::RecordedEvent;
use domain::follow_on::{self, Decision, Effect, Loaded};
use domain::frame::{EncodedFrame, Tail, encode_frame};
use domain::merkle::Hash;
use domain::ports::clock::Clock;
use domain::ports::feed::{Feed, FeedEvent, FeedReader};
use domain::ports::gateway::{CommandGateway, StreamView};
use domain::ports::log::{LogError, LogReader, StoreInfo};
use domain::position::{Position, Seen, Shard};
use domain::stream::{DEFAULT_TENANT, StreamId};
use projections::engine::mark::{Generation, Mark};
use projections::engine::model::Projection;
use projections::engine::rows::{RowChange, Value};
use sagas::engine::work::{Cursor, Due, Lane, OpenWork, WorkError, WorkItem, WorkQueue};
use sagas::engine::worker::Source;
use sagas::projection::SagaProjection;
use sagas::standing::{SagaWork, StuckSaga};
use tokio::sync::watch;
use uuid::Uuid;

use crate::outside::Fault;

pub(crate) const SHARDS: u16 = 4;
const STORE: Uuid = Uuid::from_u128(1);

/// A row: each group's guard, and all columns.
type Row = (HashMap<&'static str, u64>, HashMap<&'static str, Value>);

/// The read model as it once was.
pub(crate) struct Backup {
    rows: BTreeMap<(&'static str, String), Row>,
    mark: Mark,
}

pub(crate) struct Inner {
    registry: Registry,
    streams: HashMap<StreamId, StreamView>,
    log: Vec<Vec<RecordedEvent>>,
    results: HashMap<CommandId, (Hash, Accepted)>,
    rows: BTreeMap<(&'static str, String), Row>,
    seen: watch::Sender<Mark>,
    /// The last position of every decision.
    decisions: Vec<Vec<u64>>,
    /// The stored form of the log, a frame for every decision, as far as somebody has read it.
    frames: Vec<Vec<EncodedFrame>>,
    /// Told of every decision.
    decided: watch::Sender<()>,
    withheld: bool,
    now: Timestamp,
    fault: Fault,
    next_id: u128,
}

/// The world inside: cheap to clone.
#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<Inner>>);

impl World {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            registry: sagas::registry(),
            streams: HashMap::new(),
            log: vec![Vec::new(); usize::from(SHARDS)],
            results: HashMap::new(),
            rows: BTreeMap::new(),
            seen: watch::Sender::new(Mark::none(SHARDS)),
            decisions: vec![Vec::new(); usize::from(SHARDS)],
            frames: vec![Vec::new(); usize::from(SHARDS)],
            decided: watch::Sender::new(()),
            withheld: false,
            now: Timestamp::from_timestamp(1_735_689_600, 0).unwrap(),
            fault: Fault::None,
            next_id: 0x0195_0000_0000_7000_8000_0000_0001_0000,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.inner().now += chrono::Duration::seconds(seconds);
    }

    pub(crate) fn pass_until(&self, at: Timestamp) {
        self.inner().now = at;
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.inner().fault = fault;
    }

    /// Owners forget old command ids; then only the aggregates' business keys are left.
    pub(crate) fn forget_commands(&self) {
        self.inner().results.clear();
    }

    /// The read model is lost: it is filled anew from the log.
    pub(crate) fn forget_rows(&self) {
        let mut inner = self.inner();
        inner.rows.clear();
        let generation = Generation::named(format!("{}'", inner.seen.borrow().generation));
        inner.seen.send_replace(Mark { generation, ..Mark::none(SHARDS) });
    }

    /// The rows as they are.
    pub(crate) fn back_up(&self) -> Backup {
        let inner = self.inner();
        let mark = inner.seen.borrow().clone();
        Backup { rows: inner.rows.clone(), mark }
    }

    /// The rows are put back to what they were.
    pub(crate) fn restore(&self, backup: &Backup) {
        let mut inner = self.inner();
        inner.rows.clone_from(&backup.rows);
        inner.seen.send_replace(backup.mark.clone());
    }

    /// The log and its feed, as the worker follows them.
    pub(crate) fn source(&self) -> Source {
        Source { feed: Arc::new(self.clone()), log: Arc::new(self.clone()) }
    }

    /// Whether the feed brings nothing, as of shards that others have.
    pub(crate) fn withhold(&self, withheld: bool) {
        let mut inner = self.inner();
        inner.withheld = withheld;
        inner.decided.send_replace(());
    }

    pub(crate) fn watermark(&self) -> watch::Receiver<Mark> {
        self.inner().seen.subscribe()
    }

    /// Somebody's command, not the saga's.
    pub(crate) fn command(
        &self,
        kind: &str,
        id: Uuid,
        command: impl domain::aggregate::AnyCommand,
    ) -> Result<(), CommandError> {
        let step = Step::new(StreamId::new(DEFAULT_TENANT, kind, id), command);
        let mut inner = self.inner();
        let fresh = CommandId(inner.fresh_id());
        inner.decide(CommandRequest::new(fresh, "user:test", vec![step])).map(|_| ())
    }

    /// The typed state of a stream; its initial state when it has no event.
    pub(crate) fn state<A: Clone + Default + 'static>(&self, kind: &str, id: Uuid) -> A {
        let inner = self.inner();
        let view = inner.streams.get(&StreamId::new(DEFAULT_TENANT, kind, id));
        view.and_then(|view| view.state::<A>()).cloned().unwrap_or_default()
    }

    /// The events that belong to an order, in the order in which they were decided.
    pub(crate) fn events_of(&self, order_id: Uuid) -> Vec<RecordedEvent> {
        let inner = self.inner();
        let of_order = |event: &&RecordedEvent| {
            event.stream.id() == order_id.to_string() || event.data.contains(&order_id.to_string())
        };
        let mut events: Vec<_> = inner.log.iter().flatten().filter(of_order).cloned().collect();
        events.sort_by_key(|event| event.id);
        events
    }

    /// Every event of every stream: (stream, type and data).
    pub(crate) fn history(&self) -> BTreeMap<String, Vec<String>> {
        let inner = self.inner();
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in inner.log.iter().flatten() {
            all.entry(event.stream.to_string())
                .or_default()
                .push(format!("{} {}", event.event_type, event.data));
        }
        all
    }

    /// Lets the read model see up to `events` more events of a shard.
    pub(crate) fn project(&self, shard: u16, events: usize) -> bool {
        let mut inner = self.inner();
        let from = usize::try_from(inner.seen.borrow().seen.last(Shard(shard))).unwrap();
        let next: Vec<_> = inner.log[usize::from(shard)].iter().skip(from).take(events).cloned().collect();
        for event in &next {
            SagaProjection.map(event).unwrap().into_iter().for_each(|change| inner.apply(change));
            inner.seen.send_modify(|mark| mark.seen.advance(event.position));
        }
        !next.is_empty()
    }

    pub(crate) fn project_all(&self) {
        for shard in 0..SHARDS {
            self.project(shard, usize::MAX);
        }
    }

    /// Open work, due or not: (when, item), oldest first.
    pub(crate) fn open_work(&self) -> Vec<(Option<Timestamp>, WorkItem)> {
        self.open_rows().into_iter().map(|open| (open.due_at, open.item)).collect()
    }

    fn open_rows(&self) -> Vec<OpenWork> {
        let inner = self.inner();
        let mut open: Vec<_> =
            inner.rows.iter().filter(|((table, _), row)| *table == "saga_work" && is_open(row)).collect();
        open.sort_by_key(|((_, key), (_, columns))| (time(columns.get("opened_at")), key.clone()));
        let row = |columns: &HashMap<&'static str, Value>| OpenWork {
            opened_at: time(columns.get("opened_at")).unwrap(),
            due_at: time(columns.get("due_at")),
            item: item(columns),
        };
        open.into_iter().map(|(_, (_, columns))| row(columns)).collect()
    }
}

fn is_open((guards, _): &Row) -> bool {
    guards.contains_key("opened") && !guards.contains_key("closed")
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    match value {
        Some(Value::Time(at)) => Some(*at),
        _ => None,
    }
}

fn item(columns: &HashMap<&'static str, Value>) -> WorkItem {
    match columns.get("item") {
        Some(Value::Json(text)) => serde_json::from_str(text).unwrap(),
        other => panic!("{other:?} is no work item"),
    }
}

struct Streams<'a>(&'a HashMap<StreamId, StreamView>);

impl Loaded for Streams<'_> {
    fn get(&self, stream: &StreamId) -> Option<(&dyn StreamState, u64)> {
        self.0.get(stream).map(|view| (&*view.state, view.meta.version))
    }
}

impl Inner {
    fn fresh_id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id)
    }

    fn apply(&mut self, change: RowChange) {
        let (guards, columns) =
            self.rows.entry((change.table.name, format!("{:?}", change.key))).or_default();
        let guard = guards.entry(change.group).or_default();
        if change.version < *guard {
            return;
        }
        *guard = change.version;
        columns.extend(change.set);
    }

    /// The stored form of a shard's log.
    fn frames(&mut self, shard: Shard) -> &[EncodedFrame] {
        let at = usize::from(shard.0);
        for last in self.decisions[at].iter().skip(self.frames[at].len()) {
            let tail = match self.frames[at].last() {
                Some(before) => Tail::after(&before.header, before.hash),
                None => Tail::empty(shard),
            };
            let events = self.log[at].iter().filter(|event| event.position.n > tail.head());
            let events = events.take_while(|event| event.position.n <= *last);
            let stored: Vec<_> = events.map(RecordedEvent::encode).collect();
            self.frames[at].push(encode_frame(STORE, &tail, 1, Uuid::from_u128(1), &stored, &[]));
        }
        &self.frames[at]
    }

    fn view(&self, stream: &StreamId) -> StreamView {
        match self.streams.get(stream) {
            Some(view) => StreamView { meta: view.meta.clone(), state: view.state.boxed_clone() },
            None => StreamView {
                meta: StreamMeta {
                    stream: stream.clone(),
                    version: 0,
                    created_at: self.now,
                    updated_at: self.now,
                },
                state: self.registry.initial(stream.kind()).unwrap(),
            },
        }
    }

    /// Decides a command of one step, as its owner does.
    fn decide(&mut self, request: CommandRequest) -> Result<Accepted, CommandError> {
        if let Some((hash, accepted)) = self.results.get(&request.id) {
            let repeat = Accepted { repeated: true, ..accepted.clone() };
            return if *hash == request.body_hash { Ok(repeat) } else { Err(CommandError::BodyMismatch) };
        }
        let shard = request.steps[0].stream.shard(SHARDS);
        for step in &request.steps {
            let reached = self.registry.reach(&step.stream, &*step.command, SHARDS);
            for stream in std::iter::once(&step.stream).chain(&reached) {
                let view = self.view(stream);
                self.streams.entry(stream.clone()).or_insert(view);
            }
        }
        let decisions = follow_on::decide(&request, &Streams(&self.streams), &self.registry, self.now)?;
        let mut events = 0;
        for Decision { stream, events: decided, effect, .. } in decisions {
            assert_eq!(stream.shard(SHARDS), shard, "{stream} is of another shard");
            for event in decided {
                events += 1;
                let id = self.fresh_id();
                let n = self.log[usize::from(shard.0)].len() as u64 + 1;
                let view = self.streams.get_mut(&stream).unwrap();
                view.meta.version += 1;
                let recorded = RecordedEvent {
                    id,
                    time: self.now,
                    stream: stream.clone(),
                    version: view.meta.version,
                    position: Position { shard, n },
                    event_type: event.event_type.to_string(),
                    schema_version: event.schema_version,
                    correlation_id: request.correlation_id,
                    causation_id: request.causation_id,
                    actor: request.actor.clone(),
                    data: event.data,
                };
                self.log[usize::from(shard.0)].push(recorded);
            }
            let view = self.streams.get_mut(&stream).unwrap();
            match effect {
                Effect::Fold(decided) => view.state.evolve(decided),
                Effect::Become(state) => view.state = state,
                Effect::Elsewhere => {}
            }
        }
        if events > 0 {
            self.decisions[usize::from(shard.0)].push(self.log[usize::from(shard.0)].len() as u64);
            self.decided.send_replace(());
        }
        let position = Position { shard, n: self.log[usize::from(shard.0)].len() as u64 };
        let accepted = Accepted { id: request.id, position, events, answer: Vec::new(), repeated: false };
        self.results.insert(request.id, (request.body_hash, accepted.clone()));
        Ok(accepted)
    }
}

#[async_trait]
impl CommandGateway for World {
    fn shards(&self) -> u16 {
        SHARDS
    }

    async fn submit(&self, command: CommandRequest) -> Result<Accepted, CommandError> {
        let mut inner = self.inner();
        let id = command.id;
        match std::mem::take(&mut inner.fault) {
            Fault::None => inner.decide(command),
            Fault::LosesReply => {
                let _ = inner.decide(command);
                Err(CommandError::OutcomeUnknown(id))
            }
            Fault::LosesRequest => Err(CommandError::OutcomeUnknown(id)),
            Fault::Unavailable => Err(CommandError::Overloaded),
        }
    }

    async fn read(&self, streams: &[StreamId]) -> Result<Vec<StreamView>, CommandError> {
        let inner = self.inner();
        Ok(streams.iter().map(|stream| inner.view(stream)).collect())
    }

    async fn answered(
        &self,
        _shard: Shard,
        id: CommandId,
        _body_hash: &Hash,
    ) -> Result<Option<Accepted>, CommandError> {
        Ok(self.inner().results.get(&id).map(|(_, accepted)| accepted.clone()))
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.inner().now
    }
}

#[async_trait]
impl LogReader for World {
    fn store(&self) -> StoreInfo {
        StoreInfo { id: STORE, shards: SHARDS }
    }

    async fn read_frames(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
        _max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, LogError> {
        let mut inner = self.inner();
        let from = usize::try_from(from - 1).unwrap();
        Ok(inner.frames(shard).iter().skip(from).take(limit).map(|frame| frame.bytes.clone()).collect())
    }

    async fn frame_of_position(&self, position: Position) -> Result<u64, LogError> {
        let inner = self.inner();
        let decisions = &inner.decisions[usize::from(position.shard.0)];
        Ok(1 + decisions.partition_point(|last| *last < position.n) as u64)
    }

    async fn read_stream(
        &self,
        _stream: &StreamId,
        _after: u64,
        _limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        Err(LogError::Unavailable("nobody here reads a stream".to_owned()))
    }
}

#[async_trait]
impl Feed for World {
    async fn subscribe(&self, _group: &str, seen: &Seen) -> Result<Box<dyn FeedReader>, LogError> {
        let decided = self.inner().decided.subscribe();
        Ok(Box::new(Reader { world: self.clone(), seen: seen.clone(), decided }))
    }

    fn heads(&self) -> Vec<Position> {
        let inner = self.inner();
        let head = |shard| Position { shard: Shard(shard), n: inner.log[usize::from(shard)].len() as u64 };
        (0..SHARDS).map(head).collect()
    }
}

struct Reader {
    world: World,
    seen: Seen,
    decided: watch::Receiver<()>,
}

#[async_trait]
impl FeedReader for Reader {
    async fn next(&mut self) -> Result<Vec<FeedEvent>, LogError> {
        loop {
            self.decided.borrow_and_update();
            let next = {
                let inner = self.world.inner();
                let fresh = |event: &&RecordedEvent| {
                    let Position { shard, n } = event.position;
                    n > self.seen.last(shard) && !inner.withheld
                };
                inner.log.iter().flatten().find(fresh).cloned()
            };
            // One at a time, so that the worker has the time to do what isn't closed yet.
            if let Some(event) = next {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.seen.advance(event.position);
                return Ok(vec![FeedEvent::from(Arc::new(event))]);
            }
            self.decided.changed().await.unwrap();
        }
    }
}

#[async_trait]
impl WorkQueue for World {
    async fn due(&self, lane: &Lane, by: Timestamp, after: &Cursor, limit: usize) -> Result<Due, WorkError> {
        let due = |open: &OpenWork| {
            open.item.lane == *lane && open.due_at.is_none_or(|at| at <= by) && open.cursor() > *after
        };
        let mark = self.inner().seen.borrow().clone();
        let mut work: Vec<OpenWork> = self.open_rows().into_iter().filter(due).collect();
        work.sort_by_key(OpenWork::cursor);
        work.truncate(limit);
        Ok(Due { mark, work })
    }
}

#[async_trait]
impl SagaWork for World {
    async fn stuck(&self, _overdue: Timestamp, limit: usize) -> Result<Vec<StuckSaga>, WorkError> {
        let open: Vec<Uuid> = self.open_work().into_iter().map(|(_, item)| item.saga_id).collect();
        let inner = self.inner();
        let sagas =
            inner.rows.iter().filter(|((table, _), _)| *table == "sagas").map(|(_, (_, columns))| columns);
        let text = |columns: &HashMap<_, Value>, name| matches!(columns.get(name), Some(Value::Text(_)));
        let stuck = sagas.filter_map(|columns| {
            let order_id = inner.order_of(columns)?;
            let ended = matches!(columns.get("status"), Some(Value::Text(s)) if s.starts_with("comple") || s == "compensated");
            let idle = !ended && !text(columns, "waiting_for") && !open.contains(&order_id);
            let reason = match columns.get("needs") {
                Some(Value::Text(needs)) => needs.clone(),
                _ if idle && columns.contains_key("started_at") => "halted".to_owned(),
                _ => return None,
            };
            Some(StuckSaga { tenant: DEFAULT_TENANT.into(), order_id, reason, since: inner.now })
        });
        Ok(stuck.take(limit).collect())
    }
}

impl Inner {
    fn order_of(&self, columns: &HashMap<&'static str, Value>) -> Option<Uuid> {
        let found = self.rows.iter().find(|(_, (_, other))| std::ptr::eq(other, columns));
        let ((_, key), _) = found?;
        // The key is `[Text("…"), Uuid(…)]`.
        let (_, rest) = key.split_once("Uuid(")?;
        rest.trim_end_matches([')', ']']).parse().ok()
    }
}
