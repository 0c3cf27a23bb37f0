//! The worker: carries out the open work of the sagas.
//!
//! Work is pushed: the worker follows the feed, holds what is open in memory, and starts it as soon as its lane has room. The saga read
//! model tells it what it can't know: what was open before it began, and what found no room in memory.
//!
//! Any number of workers may run, and any of them may die at any point: a piece of work stays open until an event closes it,
//! and doing it again is harmless, since every command has an id derived from the work and every call outside a key that was
//! persisted before.

mod memory;
mod pushed;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::pauses;
use domain::ports::clock::Clock;
use domain::position::{Position, Seen};
use metrics::{Counter, Gauge, counter, gauge};
use projections::engine::mark::Mark;
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::process::{Processes, Retry};
use super::work::{Due, Lane, OpenWork, WorkChange, WorkError, WorkItem, WorkQueue};
use memory::{Held, Memory};
pub use pushed::Source;
use pushed::{News, Pushed};
use reading::{PAGE, Pace, Reading};

/// What the worker works with.
#[derive(Clone)]
pub struct Worker {
    /// Whose work it is.
    pub processes: Processes,
    /// How much is done at once in each lane; one for every lane that the processes name.
    pub bulkheads: Vec<Bulkhead>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How failures are repeated, and how much is held.
    pub config: WorkerConfig,
}

/// A lane's capacity: work that waits for one of those outside takes no room of the others'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulkhead {
    /// The lane.
    pub lane: Lane,
    /// So much is on its way at once.
    pub at_once: usize,
    /// Whether somebody outside is called, who may forget a key after some time. Aggregates never forget a command that has changed something.
    pub is_outside: bool,
}

/// How the worker repeats what failed, and how much it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// The pause before the first repeat; doubles each time, with jitter.
    pub retry_pause: Duration,
    /// The longest pause between two repeats.
    pub retry_pause_max: Duration,
    /// How much open work is held in memory for each lane, beside what is on its way. What finds no room is read from the read model
    /// once there is some.
    pub held: usize,
    /// The read model is read this often whatever was pushed: a safety net, since nothing should be found.
    pub poll: Duration,
    /// What was opened, or last seen open, longer ago than this is looked up in the read model before it is done. Much shorter than
    /// those outside remember keys.
    pub fresh: Duration,
    /// How long a stop waits for what is on its way. What is cut off is repeated after a restart.
    pub stop_grace: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            retry_pause: Duration::from_millis(100),
            retry_pause_max: Duration::from_secs(5),
            held: 1_024,
            poll: Duration::from_secs(30),
            fresh: Duration::from_mins(1),
            stop_grace: Duration::from_secs(3),
        }
    }
}

/// One lane: what is on its way, and what is to be read of it.
struct Room {
    bulkhead: Bulkhead,
    running: usize,
    reading: Reading,
    due: Gauge,
    done: Counter,
    retried: Counter,
}

/// One for each lane; metrics go to the recorder that is in place.
fn rooms(worker: &Worker) -> Vec<Room> {
    worker.bulkheads.iter().map(Room::new).collect()
}

impl Room {
    fn new(bulkhead: &Bulkhead) -> Self {
        let bulkhead = Bulkhead { at_once: bulkhead.at_once.max(1), ..bulkhead.clone() };
        let lane = bulkhead.lane.as_str().to_owned();
        Self {
            bulkhead,
            running: 0,
            reading: Reading::new(Instant::now()),
            due: gauge!("tillstream_saga_work_due", "lane" => lane.clone()),
            done: counter!("tillstream_saga_work_done_total", "lane" => lane.clone()),
            retried: counter!("tillstream_saga_work_retried_total", "lane" => lane),
        }
    }
}

/// A finished attempt at a piece of work.
type Finished = Result<(task::Id, Result<Position, Retry>), JoinError>;

/// A page that was read for a lane.
struct Page {
    room: usize,
    /// Of which pass.
    pass: u64,
    limit: usize,
    read: Result<Read, WorkError>,
}

struct Read {
    due: Due,
    /// What the log held right after, when the rows are of a making that the worker meets with this page.
    met: Option<Seen>,
}

/// What one worker remembers. Nothing of it has to survive.
struct Round {
    worker: Arc<Worker>,
    work: Arc<dyn WorkQueue>,
    source: Source,
    memory: Memory,
    rooms: Vec<Room>,
    tasks: JoinSet<Result<Position, Retry>>,
    /// What each task works on, and in which room.
    running: HashMap<task::Id, (usize, Held)>,
    /// At most one page at a time.
    reads: JoinSet<Page>,
    /// The room that is read next.
    turn: usize,
    /// Work that was opened up to here is the read model's to show, and waits until the rows hold as much of the shard that closes it.
    decided: Seen,
    /// What the rows held that were read last.
    shown: Option<Mark>,
    /// What rows that are read now hold.
    visible: Mark,
}

/// Carries out work until the token stops it. Wakes when work is pushed or done, and when a deadline or a repeat is due. The read model,
/// whose watermark is `seen`, is read at the start, when a lane has room again that had none, and every [`WorkerConfig::poll`]; never
/// because something was committed.
///
/// Nothing that is closed fires again, for whoever is called may have forgotten an old key.
/// - What is pushed was opened after the log's heads that the worker began at, and not long ago ([`WorkerConfig::fresh`]).
/// - A read model that is filled anew shows work as open that was closed long ago, until it gets to the closing event. So what the log
///   holds when the worker meets a making of the rows bounds it: work waits until the rows hold that much of the closing event's
///   shard. Rows that have fallen back, as after a restore, count as another making.
/// - Where workers share the shards, one may not see what another one does. So what was last seen open long ago is looked up before
///   anybody outside is called.
///
/// Metrics go to the recorder that is in place at the call; who polls doesn't matter.
pub fn run(
    worker: Worker,
    work: Arc<dyn WorkQueue>,
    source: Source,
    seen: watch::Receiver<Mark>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let rooms = rooms(&worker);
    async move {
        let following = stop.child_token();
        let clock = Arc::clone(&worker.clock);
        let (fresh, grace) = (worker.config.fresh, worker.config.stop_grace);
        let (news, follower) =
            pushed::follow(worker.processes.clone(), source.clone(), clock, fresh, following.clone());
        work_on(worker, rooms, work, source, news, seen, stop).await;
        following.cancel();
        // It holds nothing that has to survive.
        let _ = tokio::time::timeout(grace, follower).await;
    }
}

async fn work_on(
    worker: Worker,
    rooms: Vec<Room>,
    work: Arc<dyn WorkQueue>,
    source: Source,
    mut news: mpsc::Receiver<News>,
    mut seen: watch::Receiver<Mark>,
    stop: CancellationToken,
) {
    let grace = worker.config.stop_grace;
    let mut round = Round::new(worker, rooms, work, source, seen.borrow_and_update().clone());
    loop {
        round.go_on();
        let wake = round.wake();
        tokio::select! {
            () = stop.cancelled() => break,
            changed = seen.changed() => {
                if changed.is_err() {
                    // Whoever applies the projection has ended, so the process does.
                    break;
                }
                let mark = seen.borrow_and_update().clone();
                round.see(mark);
            }
            Some(news) = news.recv() => round.hear(news),
            Some(finished) = round.tasks.join_next_with_id() => round.note(finished),
            Some(page) = round.reads.join_next() => round.take(page),
            () = tokio::time::sleep_until(wake) => {}
        }
    }
    // Nobody is told any more.
    drop(news);
    round.finish(grace).await;
}

impl Round {
    fn new(
        worker: Worker,
        rooms: Vec<Room>,
        work: Arc<dyn WorkQueue>,
        source: Source,
        visible: Mark,
    ) -> Self {
        Self {
            memory: Memory::new(worker.bulkheads.len(), worker.config.held),
            rooms,
            worker: Arc::new(worker),
            work,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            reads: JoinSet::new(),
            turn: 0,
            decided: Seen::none(source.log.store().shards),
            shown: None,
            visible,
            source,
        }
    }

    /// Starts what is due and has room, and reads what is to be read.
    fn go_on(&mut self) {
        self.memory.ripen(self.worker.clock.now());
        for at in 0..self.rooms.len() {
            while self.rooms[at].running < self.rooms[at].bulkhead.at_once {
                let Some(held) = self.memory.start(at) else { break };
                self.start(at, held);
            }
            let room = &self.rooms[at];
            room.due.set((room.running + self.memory.waiting(at)) as f64);
        }
        self.read(Instant::now());
    }

    fn start(&mut self, at: usize, held: Held) {
        if self.may_be_done_by_others(&held) {
            self.memory.ended(&held.key());
            self.owe(at, None);
            return;
        }
        let (worker, item, tries) = (Arc::clone(&self.worker), Arc::clone(&held.item), held.tries);
        let task = self.tasks.spawn(async move { worker.processes.perform(&item, tries).await });
        self.running.insert(task.id(), (at, held));
        self.rooms[at].running += 1;
    }

    /// Whether another worker may have done it long ago. Commands are recognised by their aggregates, however old they are.
    fn may_be_done_by_others(&self, held: &Held) -> bool {
        self.source.feed.is_shared()
            && self.rooms[held.room].bulkhead.is_outside
            && held.seen_open.elapsed() > self.worker.config.fresh
    }

    /// When something is to be done at the latest.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + self.worker.config.poll;
        if let Some(due) = self.memory.next_deadline() {
            wake = wake.min(now + (due - self.worker.clock.now()).to_std().unwrap_or(Duration::ZERO));
        }
        wake = self.memory.next_repeat().map_or(wake, |at| at.min(wake));
        if !self.reads.is_empty() {
            return wake;
        }
        let roomy = self.rooms.iter().enumerate().filter(|(at, _)| self.memory.is_roomy(*at));
        roomy.map(|(_, room)| room.reading.due_at()).min().map_or(wake, |at| at.min(wake))
    }

    /// Has the next page read, of one lane after the other.
    fn read(&mut self, now: Instant) {
        if !self.reads.is_empty() {
            return;
        }
        let mut turns = (0..self.rooms.len()).map(|n| (self.turn + n) % self.rooms.len());
        let wanted = |at: usize| self.rooms[at].reading.due_at() <= now && self.memory.is_roomy(at);
        let Some(at) = turns.find(|at| wanted(*at)) else { return };
        self.turn = at + 1;
        let lane = self.rooms[at].bulkhead.lane.clone();
        let (after, pass) = self.rooms[at].reading.page();
        let limit = PAGE.min(self.memory.room(at)).max(1);
        // Deadlines are read ahead, so that they are held when their time comes.
        let by = self.worker.clock.now() + self.worker.config.poll * 2;
        let (work, source, shown) = (Arc::clone(&self.work), self.source.clone(), self.shown.clone());
        self.reads.spawn(async move {
            let read = async {
                let due = work.due(&lane, by, &after, limit).await?;
                let met = if shown.is_some_and(|shown| due.mark.continues(&shown)) {
                    None
                } else {
                    // Read after the rows were: whatever they lack that was decided by then is below these heads.
                    Some(source.decided().await.map_err(|error| WorkError(error.to_string()))?)
                };
                Ok(Read { due, met })
            };
            Page { room: at, pass, limit, read: read.await }
        });
    }

    /// Takes a page in.
    fn take(&mut self, page: Result<Page, JoinError>) {
        let now = Instant::now();
        let rest = now + self.worker.config.retry_pause_max;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "reading the work of the sagas failed");
                return self.rooms.iter_mut().for_each(|room| room.reading.failed(rest));
            }
        };
        let reading = &mut self.rooms[page.room].reading;
        let Read { due: Due { mark, work }, met } = match page.read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "the work of the sagas can't be read; trying again");
                return reading.failed(rest);
            }
        };
        if let Some(heads) = met {
            if self.shown.is_some() {
                let generation = &mark.generation;
                tracing::warn!(%generation, "the work of the sagas was begun anew or has fallen back: it waits for what is decided");
            }
            let shards = self.shards();
            self.rooms.iter_mut().for_each(|room| room.reading.owe(shards, heads.positions()));
            self.wait_for(&heads);
        }
        self.shown = Some(mark.clone());
        let Some(mut pass) = self.rooms[page.room].reading.arrived(page.pass, &mark.seen) else { return };
        let is_last = work.len() < page.limit;
        let clock_now = self.worker.clock.now();
        for open in work {
            let cursor = open.cursor();
            let held = found(page.room, open, now);
            if self.memory.knows(&held.key()) {
                // Held, on its way, or done and not yet shown.
            } else if self.may_be_closed(&held.item, &mark) {
                pass.left_out = true;
            } else if pass.is_for_safety() && self.is_likely_in_hand(&held) {
                // Its worker does it.
            } else if held.due_at.is_none_or(|at| at <= clock_now) && self.memory.room(page.room) == 0 {
                return self.rooms[page.room].reading.goes_on(pass);
            } else {
                // A deadline that finds no room is read again before it is due.
                pass.fruitful |= self.memory.keep(held, clock_now).is_none();
            }
            pass.after = cursor;
        }
        let config = &self.worker.config;
        let pace = Pace { shortest: config.retry_pause, longest: config.retry_pause_max, poll: config.poll };
        let reading = &mut self.rooms[page.room].reading;
        if is_last { reading.ended(&pass, now, pace) } else { reading.goes_on(pass) }
    }

    /// Whether the rows may yet come to an event that closes it, decided before the worker met them.
    fn may_be_closed(&self, item: &WorkItem, mark: &Mark) -> bool {
        let shard = item.closing_stream().shard(self.shards());
        mark.seen.last(shard) < self.decided.last(shard)
    }

    /// Whether it was pushed to another worker, and so lately that it needs no help.
    fn is_likely_in_hand(&self, held: &Held) -> bool {
        let age = self.worker.clock.now() - held.opened_at;
        self.source.feed.is_shared()
            && held.due_at.is_none()
            && age.to_std().is_ok_and(|age| age < self.worker.config.poll)
    }

    /// Work that is read waits until the rows hold this much.
    fn wait_for(&mut self, heads: &Seen) {
        heads.positions().for_each(|head| reading::raise(&mut self.decided, head));
    }

    fn shards(&self) -> u16 {
        self.source.log.store().shards
    }

    /// The lane is crowded: the read model shows, or will show, what isn't in memory.
    fn owe(&mut self, at: usize, opened_by: Option<Position>) {
        let shards = self.shards();
        self.rooms[at].reading.owe(shards, opened_by);
    }

    /// Rows that are read from now on hold this much.
    fn see(&mut self, mark: Mark) {
        let now = Instant::now();
        for room in &mut self.rooms {
            room.reading.shown(&self.visible.seen, &mark.seen, now);
        }
        // A page under way may be of rows from before.
        if self.reads.is_empty() {
            self.memory.shown(&mark.seen);
        }
        self.visible = mark;
    }

    /// Takes pushed work in.
    fn hear(&mut self, news: News) {
        let now = Instant::now();
        match news {
            News::Begun(heads) => {
                // What was closed up to there may not have been told, so the rows have to tell.
                self.memory.clear();
                for room in &mut self.rooms {
                    room.reading.begin_anew(&heads, now);
                }
                self.wait_for(&heads);
            }
            News::Changes(changes) => {
                let clock_now = self.worker.clock.now();
                for Pushed { tenant, position, at, change } in changes {
                    match change {
                        WorkChange::Closed { id } => self.memory.closed((tenant, id), position),
                        WorkChange::Opened { item, due_at } => {
                            let Some(room) = self.room_of(&item) else { continue };
                            let opened = OpenWork { opened_at: at, due_at, item: *item };
                            let held = Held { opened_by: Some(position), ..found(room, opened, now) };
                            self.keep(held, clock_now);
                        }
                    }
                }
            }
        }
    }

    fn keep(&mut self, held: Held, now: domain::Timestamp) {
        let Some(without_room) = self.memory.keep(held, now) else { return };
        // A deadline is read before it is due.
        if without_room.due_at.is_none_or(|at| at <= now) {
            self.owe(without_room.room, without_room.opened_by);
        }
    }

    /// Where a piece of work waits for its turn.
    fn room_of(&self, item: &WorkItem) -> Option<usize> {
        let room = self.rooms.iter().position(|room| room.bulkhead.lane == item.lane);
        if room.is_none() {
            // It stays open, so its saga is shown as stuck.
            tracing::error!(work = item.id, lane = item.lane.as_str(), "work of a lane without a bulkhead");
        }
        room
    }

    /// Notes how an attempt ended.
    fn note(&mut self, finished: Finished) {
        let (task, result) = match finished {
            Ok((task, result)) => (task, result),
            Err(error) => (error.id(), Err(Retry { reason: error.to_string(), needs_somebody: true })),
        };
        let Some((at, mut held)) = self.running.remove(&task) else { return };
        self.rooms[at].running -= 1;
        match result {
            Ok(position) => {
                self.rooms[at].done.increment(1);
                let key = held.key();
                self.memory.ended(&key);
                self.memory.closed(key, position);
            }
            Err(Retry { reason, needs_somebody }) => {
                self.rooms[at].retried.increment(1);
                held.tries = held.tries.saturating_add(1);
                let (work, tries) = (&held.item.id, held.tries);
                if needs_somebody {
                    tracing::error!(work, tries, reason, "work of a saga fails; somebody has to look");
                } else if tries > 3 {
                    tracing::warn!(work, tries, reason, "work of a saga fails; trying again");
                } else {
                    tracing::debug!(work, tries, reason, "work of a saga is repeated");
                }
                let config = &self.worker.config;
                let pause = pauses::after(tries, config.retry_pause, config.retry_pause_max);
                // Those that failed together don't come back together.
                let pause = pause.mul_f64(rand::random_range(0.5..1.0));
                // What finds no room is read again with the next pass.
                drop(self.memory.repeat(held, Instant::now() + pause));
            }
        }
    }

    /// Lets what is on its way come to an end.
    async fn finish(mut self, grace: Duration) {
        let rest = async {
            while let Some(finished) = self.tasks.join_next_with_id().await {
                self.note(finished);
            }
        };
        if tokio::time::timeout(grace, rest).await.is_err() {
            tracing::info!("work of sagas was cut off by the stop; it is repeated after the restart");
        }
    }
}

/// Work that was just seen to be open.
fn found(room: usize, open: OpenWork, now: Instant) -> Held {
    let OpenWork { opened_at, due_at, item } = open;
    Held { room, item: Arc::new(item), opened_at, due_at, opened_by: None, seen_open: now, tries: 0 }
}
