//! The worker's loop over rows and a process that the tests move.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::ports::feed::{Feed, FeedReader};
use domain::ports::log::{LogError, LogReader, StoreInfo};
use domain::position::Shard;
use domain::stream::{StreamId, StreamRef};
use projections::engine::mark::Generation;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::*;
use crate::engine::process::ProcessManager;
use crate::engine::work::Cursor;

/// Everything outside of the worker.
struct World {
    began: Instant,
    rows: Mutex<Vec<OpenWork>>,
    reads: AtomicUsize,
    /// What was done: (tenant, saga).
    told: Mutex<Vec<(String, u128)>>,
    /// Work inside waits for a permit.
    gate: Semaphore,
    /// It fails.
    overloaded: AtomicBool,
    /// Tries of work outside, which all fail.
    calls: AtomicUsize,
    shared: bool,
    heads: u64,
}

const SHARD: Shard = Shard(0);
const TEST: &str = "test";
const INSIDE: Lane = Lane::named("inside");
const OUTSIDE: Lane = Lane::named("outside");

fn at(n: u64) -> Position {
    Position { shard: SHARD, n }
}

fn seen(n: u64) -> Seen {
    Seen::up_to(&[at(n)])
}

fn mark(n: u64) -> Mark {
    Mark { generation: Generation::named("1"), seen: seen(n) }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        let elapsed = chrono::Duration::from_std(self.began.elapsed()).unwrap();
        Timestamp::from_timestamp(1_735_689_600, 0).unwrap() + elapsed
    }
}

/// A process whose work ends when there is a permit, or never, where it is outside.
struct Test(Arc<World>);

#[async_trait]
impl ProcessManager for Test {
    fn name(&self) -> &'static str {
        TEST
    }

    async fn perform(&self, item: &WorkItem, _tries: u32) -> Result<Position, Retry> {
        let world = &self.0;
        if item.lane == OUTSIDE {
            world.calls.fetch_add(1, SeqCst);
            return Err(Retry::later("away"));
        }
        world.gate.acquire().await.unwrap().forget();
        if world.overloaded.load(SeqCst) {
            return Err(Retry::later("overloaded"));
        }
        world.told.lock().unwrap().push((item.tenant.clone(), item.saga_id.as_u128()));
        // The rows never come to it.
        Ok(at(1_000_000))
    }
}

#[async_trait]
impl Feed for World {
    async fn subscribe(&self, _group: &str, _seen: &Seen) -> Result<Box<dyn FeedReader>, LogError> {
        Err(LogError::Unavailable("what is pushed here is pushed by hand".to_owned()))
    }

    fn heads(&self) -> Vec<Position> {
        vec![at(self.heads)]
    }

    fn is_shared(&self) -> bool {
        self.shared
    }
}

#[async_trait]
impl LogReader for World {
    fn store(&self) -> StoreInfo {
        StoreInfo { id: Uuid::from_u128(1), shards: 1 }
    }

    async fn read_frames(
        &self,
        _shard: Shard,
        _from: u64,
        _limit: usize,
        _max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, LogError> {
        Ok(Vec::new())
    }

    async fn frame_of_position(&self, _position: Position) -> Result<u64, LogError> {
        Ok(1)
    }

    async fn head(&self, _shard: Shard) -> Result<Position, LogError> {
        Ok(at(self.heads))
    }

    async fn read_stream(
        &self,
        _stream: &StreamId,
        _after: u64,
        _limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        Ok(Vec::new())
    }
}

/// The rows, which hold everything up to the mark that the watermark tells.
struct Rows(Arc<World>, watch::Receiver<Mark>);

#[async_trait]
impl WorkQueue for Rows {
    async fn due(&self, lane: &Lane, by: Timestamp, after: &Cursor, limit: usize) -> Result<Due, WorkError> {
        self.0.reads.fetch_add(1, SeqCst);
        let mut work = self.0.rows.lock().unwrap().clone();
        work.retain(|open| open.item.lane == *lane && open.due_at.is_none_or(|at| at <= by));
        work.retain(|open| open.cursor() > *after);
        work.sort_by_key(OpenWork::cursor);
        work.truncate(limit);
        Ok(Due { mark: self.1.borrow().clone(), work })
    }
}

struct Bench {
    world: Arc<World>,
    news: mpsc::Sender<News>,
    rows: watch::Sender<Mark>,
    stop: CancellationToken,
    running: task::JoinHandle<()>,
    pushed: u64,
}

impl Bench {
    /// A worker over a log that ends at 10, and rows that hold as much.
    async fn new(at_once: usize, config: WorkerConfig, shared: bool, open: Vec<OpenWork>) -> Self {
        let world = Arc::new(World {
            began: Instant::now(),
            rows: Mutex::new(open),
            reads: AtomicUsize::new(0),
            told: Mutex::default(),
            gate: Semaphore::new(0),
            overloaded: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            shared,
            heads: 10,
        });
        let bulkhead = |lane, is_outside| Bulkhead { lane, at_once, is_outside };
        let worker = Worker {
            processes: Processes::reacting(&[]).with(Test(Arc::clone(&world))),
            bulkheads: vec![bulkhead(INSIDE, false), bulkhead(OUTSIDE, true)],
            clock: Arc::clone(&world) as _,
            config,
        };
        let source = Source { feed: Arc::clone(&world) as _, log: Arc::clone(&world) as _ };
        let (news, told) = mpsc::channel(4);
        let (rows, seen_rows) = watch::channel(mark(10));
        let work = Arc::new(Rows(Arc::clone(&world), seen_rows.clone()));
        let stop = CancellationToken::new();
        let rooms = rooms(&worker);
        let running = tokio::spawn(work_on(worker, rooms, work, source, told, seen_rows, stop.clone()));
        news.send(News::Begun(seen(10))).await.unwrap();
        let bench = Self { world, news, rows, stop, running, pushed: 10 };
        bench.pass(1_000).await;
        bench
    }

    async fn pass(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    async fn change(&mut self, tenant: &str, change: WorkChange) {
        self.pushed += 1;
        let pushed =
            Pushed { tenant: tenant.to_owned(), position: at(self.pushed), at: self.world.now(), change };
        self.news.send(News::Changes(vec![pushed])).await.unwrap();
    }

    /// Pushes work and adds it to the rows, which hold it from now on.
    async fn open(&mut self, item: WorkItem) {
        let opened_at = self.world.now();
        self.world.rows.lock().unwrap().push(OpenWork { opened_at, due_at: None, item: item.clone() });
        self.change(&item.tenant.clone(), WorkChange::Opened { item: Box::new(item), due_at: None }).await;
        self.rows.send_replace(mark(self.pushed));
        self.pass(1).await;
    }

    async fn push(&mut self, item: &WorkItem, after_seconds: Option<i64>) {
        let due_at = after_seconds.map(|seconds| self.world.now() + chrono::Duration::seconds(seconds));
        self.change(&item.tenant, WorkChange::Opened { item: Box::new(item.clone()), due_at }).await;
        self.pass(1).await;
    }

    async fn close(&mut self, item: &WorkItem) {
        self.change(&item.tenant, WorkChange::Closed { id: item.id.clone() }).await;
        self.pass(1).await;
    }

    /// Lets so many commands pass.
    async fn let_pass(&self, commands: usize) {
        self.world.gate.add_permits(commands);
        self.pass(1).await;
    }

    fn told(&self) -> Vec<(String, u128)> {
        self.world.told.lock().unwrap().clone()
    }

    fn orders(&self) -> Vec<u128> {
        self.told().into_iter().map(|(_, order)| order).collect()
    }

    fn reads(&self) -> usize {
        self.world.reads.load(SeqCst)
    }
}

const MANY: usize = 64;

fn narrow() -> WorkerConfig {
    WorkerConfig { held: 4, ..WorkerConfig::default() }
}

fn item_of(tenant: &str, order: u128) -> WorkItem {
    let saga_id = Uuid::from_u128(order);
    WorkItem {
        tenant: tenant.to_owned(),
        id: saga_id.to_string(),
        process: TEST.into(),
        saga_id,
        correlation_id: saga_id,
        cause_id: saga_id,
        lane: INSIDE,
        closed_by: StreamRef { kind: TEST.to_owned(), id: saga_id.to_string() },
        work: serde_json::Value::Null,
    }
}

fn item(order: u128) -> WorkItem {
    item_of("default", order)
}

fn outside(order: u128) -> WorkItem {
    WorkItem { lane: OUTSIDE, ..item(order) }
}

// proves: SAG-3
#[tokio::test(start_paused = true)]
async fn pushed_work_and_deadlines_are_done_without_a_read() {
    let mut bench = Bench::new(MANY, WorkerConfig::default(), false, Vec::new()).await;
    bench.world.gate.add_permits(10);
    let reads = bench.reads();
    bench.push(&item(1), None).await;
    assert_eq!(bench.orders(), [1]);
    bench.push(&item(2), Some(20)).await;
    bench.push(&item(3), Some(10)).await;
    bench.push(&item(4), Some(15)).await;
    bench.close(&item(4)).await;
    bench.pass(9_900).await;
    assert_eq!(bench.orders(), [1]);
    bench.pass(100).await;
    assert_eq!(bench.orders(), [1, 3]);
    bench.pass(10_000).await;
    assert_eq!(bench.orders(), [1, 3, 2]);
    // However often the projection commits.
    for n in 0..100 {
        bench.rows.send_replace(mark(100 + n));
        bench.pass(1).await;
    }
    assert_eq!(bench.reads(), reads);
}

// proves: SAG-3
#[tokio::test(start_paused = true)]
async fn what_is_closed_is_forgotten_while_it_waits_for_room_and_between_two_tries() {
    let mut bench = Bench::new(1, narrow(), false, Vec::new()).await;
    bench.push(&item(1), None).await;
    bench.push(&item(2), None).await;
    bench.push(&item(3), None).await;
    bench.close(&item(2)).await;
    // A close that comes before its open counts.
    bench.close(&item(4)).await;
    bench.push(&item(4), None).await;
    bench.let_pass(10).await;
    assert_eq!(bench.orders(), [1, 3]);
    bench.world.overloaded.store(true, SeqCst);
    bench.push(&item(5), None).await;
    bench.close(&item(5)).await;
    bench.world.overloaded.store(false, SeqCst);
    bench.pass(20_000).await;
    assert_eq!(bench.orders(), [1, 3]);
}

// proves: SAG-1, SAG-3
#[tokio::test(start_paused = true)]
async fn a_crowded_lane_is_filled_from_the_read_model_and_loses_and_doubles_nothing() {
    let mut bench = Bench::new(1, narrow(), false, Vec::new()).await;
    let reads = bench.reads();
    for order in 0..50 {
        bench.open(item(order)).await;
    }
    assert_eq!(bench.reads(), reads, "there is no room that could be filled");
    for _ in 0..50 {
        bench.let_pass(1).await;
        // At most, for the rest after a pass that brought little.
        bench.pass(200).await;
    }
    bench.let_pass(50).await;
    bench.pass(20_000).await;
    // Nothing is ever shown as closed, and yet nothing is done twice.
    assert_eq!(bench.orders().len(), 50);
    assert_eq!(bench.orders().into_iter().collect::<BTreeSet<_>>().len(), 50);
}

// proves: SAG-3
#[tokio::test(start_paused = true)]
async fn what_was_open_before_is_read_once_the_rows_hold_what_is_decided() {
    let early = |order| OpenWork {
        opened_at: Timestamp::from_timestamp(1_735_689_000, 0).unwrap(),
        due_at: None,
        item: item(order),
    };
    let bench = Bench::new(MANY, WorkerConfig::default(), false, (0..600).map(early).collect()).await;
    bench.let_pass(1_000).await;
    bench.pass(1_000).await;
    assert_eq!(bench.orders().into_iter().collect::<BTreeSet<_>>().len(), 600);
    // Rows that are begun anew show it again, and hold nothing of what closed it.
    let generation = Generation::named("2");
    bench.rows.send_replace(Mark { generation, seen: seen(9) });
    bench.pass(120_000).await;
    assert_eq!(bench.orders().len(), 600);
}

// proves: SAG-3
#[tokio::test(start_paused = true)]
async fn tenants_take_turns_and_one_that_floods_a_lane_keeps_no_other_out() {
    let mut bench = Bench::new(1, narrow(), false, Vec::new()).await;
    for order in 0..8 {
        bench.open(item_of("flood", order)).await;
    }
    for order in 10..12 {
        bench.open(item_of("other", order)).await;
    }
    for _ in 0..4 {
        bench.let_pass(1).await;
    }
    let told = bench.told();
    // The first one was on its way before the others came.
    let tenants: Vec<&str> = told.iter().map(|(tenant, _)| tenant.as_str()).collect();
    assert_eq!(tenants, ["flood", "flood", "other", "flood"], "{told:?}");
    bench.let_pass(20).await;
    bench.pass(20_000).await;
    let mut orders = bench.orders();
    let of_flood: Vec<u128> = orders.iter().copied().filter(|order| *order < 10).collect();
    assert!(of_flood.is_sorted(), "{orders:?}");
    orders.sort_unstable();
    assert_eq!(orders, [0, 1, 2, 3, 4, 5, 6, 7, 10, 11]);
}

// proves: SAG-3
#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_on_its_way_and_not_longer_than_its_grace() {
    for (millis, done) in [(2_000, 1), (10_000, 0)] {
        let mut bench = Bench::new(1, narrow(), false, Vec::new()).await;
        bench.push(&item(1), None).await;
        bench.push(&item(2), None).await;
        let (world, stopped) = (Arc::clone(&bench.world), Instant::now());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            world.gate.add_permits(10);
        });
        bench.stop.cancel();
        bench.running.await.unwrap();
        assert_eq!(bench.world.told.lock().unwrap().len(), done);
        assert!(stopped.elapsed() <= WorkerConfig::default().stop_grace + Duration::from_millis(2));
    }
}

/// Its shard may be another worker's by now, which did it when whoever was away was back.
// proves: SAG-1
#[tokio::test(start_paused = true)]
async fn where_workers_share_the_shards_what_failed_for_long_is_looked_up_before_somebody_outside_is_called()
{
    for shared in [false, true] {
        let mut bench = Bench::new(MANY, WorkerConfig::default(), shared, Vec::new()).await;
        bench.open(outside(1)).await;
        bench.pass(50_000).await;
        assert!(bench.world.calls.load(SeqCst) > 5);
        // As long as the rows show it, it is tried.
        bench.pass(120_000).await;
        let calls = bench.world.calls.load(SeqCst);
        bench.pass(30_000).await;
        assert!(bench.world.calls.load(SeqCst) > calls);
        bench.world.rows.lock().unwrap().clear();
        bench.pass(70_000).await;
        let calls = bench.world.calls.load(SeqCst);
        bench.pass(120_000).await;
        // A worker that sees every event would have been told that it was closed.
        assert_eq!(bench.world.calls.load(SeqCst) == calls, shared);
    }
}

/// A rollback finds the work of a newer program: nobody does it, so its saga is shown as stuck, and it holds nothing else up.
// proves: SAG-3, SAG-4
#[tokio::test(start_paused = true)]
async fn work_of_an_unknown_process_or_lane_is_nobodys_and_holds_nobody_up() {
    let mut bench = Bench::new(1, narrow(), false, Vec::new()).await;
    bench.world.gate.add_permits(10);
    bench.open(WorkItem { process: "another".into(), ..item(1) }).await;
    bench.open(WorkItem { lane: Lane::named("elsewhere"), ..item(2) }).await;
    bench.open(item(3)).await;
    assert_eq!(bench.orders(), [3]);
    bench.pass(60_000).await;
    bench.open(item(4)).await;
    assert_eq!(bench.orders(), [3, 4]);
    let unknown = Retry::somebody("there is no process another");
    let processes = Processes::reacting(&[]).with(Test(Arc::clone(&bench.world)));
    let done = processes.perform(&WorkItem { process: "another".into(), ..item(1) }, 0).await;
    assert_eq!(done, Err(unknown));
}
