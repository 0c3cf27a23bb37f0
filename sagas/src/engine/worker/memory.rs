//! The open work that the worker holds in memory: what waits for room in its lane, for its time, or for its next try. All of it is
//! bounded; what finds no room stays in the read model.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use domain::Timestamp;
use domain::position::{Position, Seen};
use tokio::time::Instant;

use crate::engine::work::WorkItem;

/// At most so many pieces of work wait for their time or their next try.
const TIMED: usize = 8_192;

/// Which piece of work, in which tenant.
pub(super) type WorkKey = (String, String);

/// A piece of open work.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The room of its lane, by its place among the bulkheads.
    pub(super) room: usize,
    pub(super) item: Arc<WorkItem>,
    pub(super) opened_at: Timestamp,
    /// `None`: at once.
    pub(super) due_at: Option<Timestamp>,
    /// The event that opened it, when that was pushed: rows that hold less don't show it.
    pub(super) opened_by: Option<Position>,
    /// When it was last seen open.
    pub(super) seen_open: Instant,
    /// How often in a row it has failed.
    pub(super) tries: u32,
}

impl Held {
    pub(super) fn key(&self) -> WorkKey {
        (self.item.tenant.clone(), self.item.id.clone())
    }
}

/// Where a piece of work is.
#[derive(Debug, Clone, Copy)]
enum WorkPlace {
    /// It waits for its turn in a room, by when it was opened.
    Ready(usize, Timestamp),
    Deadline(Timestamp),
    Repeat(Instant),
    Running,
    /// On its way, and closed meanwhile.
    Closed,
}

/// What waits for room in a lane: tenants take turns, and the oldest piece of a tenant comes first.
#[derive(Debug, Default)]
struct Queue {
    tenants: HashMap<String, BTreeMap<(Timestamp, String), Held>>,
    /// Every tenant that has work, once.
    turns: VecDeque<String>,
    len: usize,
}

impl Queue {
    fn push(&mut self, held: Held) {
        let (tenant, id) = held.key();
        let of_tenant = self.tenants.entry(tenant.clone()).or_default();
        if of_tenant.is_empty() {
            self.turns.push_back(tenant);
        }
        if of_tenant.insert((held.opened_at, id), held).is_none() {
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<Held> {
        let tenant = self.turns.pop_front()?;
        let of_tenant = self.tenants.get_mut(&tenant)?;
        let (_, held) = of_tenant.pop_first()?;
        self.len -= 1;
        if of_tenant.is_empty() {
            self.tenants.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        Some(held)
    }

    fn remove(&mut self, opened_at: Timestamp, (tenant, id): &WorkKey) {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else { return };
        if of_tenant.remove(&(opened_at, id.clone())).is_some() {
            self.len -= 1;
        }
        if of_tenant.is_empty() {
            self.tenants.remove(tenant);
            self.turns.retain(|turn| turn != tenant);
        }
    }

    /// Gives up the newest piece of the tenant that has most, for one that has less.
    fn make_way(&mut self, tenant: &str) -> Option<Held> {
        let own = self.tenants.get(tenant).map_or(0, BTreeMap::len);
        let (most, count) =
            self.tenants.iter().map(|(name, work)| (name, work.len())).max_by_key(|(_, n)| *n)?;
        if count <= own + 1 {
            return None;
        }
        let most = most.clone();
        let (_, held) = self.tenants.get_mut(&most)?.pop_last()?;
        self.len -= 1;
        Some(held)
    }
}

/// See the module.
pub(super) struct Memory {
    /// At most so many pieces wait for room in a lane, beside those that had to wait for their time.
    most: usize,
    queues: Vec<Queue>,
    deadlines: BTreeMap<(Timestamp, WorkKey), Held>,
    repeats: BTreeMap<(Instant, WorkKey), Held>,
    places: HashMap<WorkKey, WorkPlace>,
    /// Done or closed, but rows that don't hold the position show it as open.
    done: HashMap<WorkKey, Position>,
}

impl Memory {
    pub(super) fn new(rooms: usize, most: usize) -> Self {
        Self {
            most: most.max(1),
            queues: (0..rooms).map(|_| Queue::default()).collect(),
            deadlines: BTreeMap::new(),
            repeats: BTreeMap::new(),
            places: HashMap::new(),
            done: HashMap::new(),
        }
    }

    /// How many more pieces can wait in a room.
    pub(super) fn room(&self, room: usize) -> usize {
        self.most.saturating_sub(self.queues[room].len)
    }

    /// How many pieces wait in a room.
    pub(super) fn waiting(&self, room: usize) -> usize {
        self.queues[room].len
    }

    /// Whether at least half of a room's memory is free.
    pub(super) fn is_roomy(&self, room: usize) -> bool {
        self.queues[room].len <= self.most / 2
    }

    /// Whether it is held, on its way, or done.
    pub(super) fn knows(&self, key: &WorkKey) -> bool {
        self.places.contains_key(key) || self.done.contains_key(key)
    }

    /// Keeps a piece of open work that isn't known yet. Answers what found no room: this one, or one of a tenant that has more.
    pub(super) fn keep(&mut self, held: Held, now: Timestamp) -> Option<Held> {
        let key = held.key();
        match self.places.get(&key) {
            // A deadline that is set anew.
            Some(WorkPlace::Deadline(at)) if held.due_at.is_some_and(|due_at| due_at != *at) => {
                self.forget(&key)
            }
            Some(_) => return None,
            None if self.done.contains_key(&key) => return None,
            None => {}
        }
        match held.due_at.filter(|at| *at > now) {
            Some(_) if self.timed() >= TIMED => Some(held),
            Some(at) => {
                self.places.insert(key.clone(), WorkPlace::Deadline(at));
                self.deadlines.insert((at, key), held);
                None
            }
            None => {
                let mut without_room = None;
                if self.room(held.room) == 0 {
                    let Some(other) = self.queues[held.room].make_way(&held.item.tenant) else {
                        return Some(held);
                    };
                    self.places.remove(&other.key());
                    without_room = Some(other);
                }
                self.ready(held);
                without_room
            }
        }
    }

    fn ready(&mut self, held: Held) {
        self.places.insert(held.key(), WorkPlace::Ready(held.room, held.opened_at));
        self.queues[held.room].push(held);
    }

    fn timed(&self) -> usize {
        self.deadlines.len() + self.repeats.len()
    }

    /// The next piece of a room, which is on its way from now on.
    pub(super) fn start(&mut self, room: usize) -> Option<Held> {
        let held = self.queues[room].pop()?;
        self.places.insert(held.key(), WorkPlace::Running);
        Some(held)
    }

    /// It is on its way no more.
    pub(super) fn ended(&mut self, key: &WorkKey) {
        self.places.remove(key);
    }

    /// It is done: the position holds the event that closes it.
    pub(super) fn closed(&mut self, key: WorkKey, position: Position) {
        self.forget(&key);
        if let Some(place) = self.places.get_mut(&key) {
            *place = WorkPlace::Closed;
        }
        self.done.insert(key, position);
    }

    /// Keeps what failed until its next try, unless it was closed meanwhile. Answers it when there is no room for it.
    pub(super) fn repeat(&mut self, held: Held, at: Instant) -> Option<Held> {
        let key = held.key();
        if matches!(self.places.remove(&key), Some(WorkPlace::Closed)) {
            return None;
        }
        if self.timed() >= TIMED {
            return Some(held);
        }
        self.places.insert(key.clone(), WorkPlace::Repeat(at));
        self.repeats.insert((at, key), held);
        None
    }

    /// Puts what waited for its time where it waits for room: it has been held before, so nothing more is held now.
    pub(super) fn ripen(&mut self, now: Timestamp) {
        let instant = Instant::now();
        while let Some(entry) = self.deadlines.first_entry().filter(|entry| entry.key().0 <= now) {
            let held = entry.remove();
            self.ready(held);
        }
        while let Some(entry) = self.repeats.first_entry().filter(|entry| entry.key().0 <= instant) {
            let held = entry.remove();
            self.ready(held);
        }
    }

    /// When the next deadline is due.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first_key_value().map(|((at, _), _)| *at)
    }

    /// When something is to be tried again.
    pub(super) fn next_repeat(&self) -> Option<Instant> {
        self.repeats.first_key_value().map(|((at, _), _)| *at)
    }

    fn forget(&mut self, key: &WorkKey) {
        match self.places.get(key).copied() {
            // It ends by itself.
            None | Some(WorkPlace::Running | WorkPlace::Closed) => return,
            Some(WorkPlace::Ready(room, opened_at)) => self.queues[room].remove(opened_at, key),
            Some(WorkPlace::Deadline(at)) => drop(self.deadlines.remove(&(at, key.clone()))),
            Some(WorkPlace::Repeat(at)) => drop(self.repeats.remove(&(at, key.clone()))),
        }
        self.places.remove(key);
    }

    /// Forgets what is held and not on its way.
    pub(super) fn clear(&mut self) {
        self.queues.iter_mut().for_each(|queue| *queue = Queue::default());
        self.deadlines.clear();
        self.repeats.clear();
        self.places.retain(|_, place| matches!(place, WorkPlace::Running | WorkPlace::Closed));
    }

    /// Rows that are read from now on hold this much.
    pub(super) fn shown(&mut self, seen: &Seen) {
        self.done.retain(|_, position| seen.last(position.shard) < position.n);
    }
}
