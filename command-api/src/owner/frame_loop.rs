//! The frame loop of one shard. It does no I/O but the decision: loads, lookups and derived rows run beside it.

mod deriving;

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use domain::Timestamp;
use domain::command::{CommandError, CommandId};
use domain::frame::{DecidedFrame, EncodedFrame, Tail, encode_frame};
use domain::ports::log::{CommandResult, LogError, StoredSnapshot};
use domain::position::Shard;
use domain::stream::StreamId;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Shared;
use super::building::Building;
use super::config::{FrameSize, MAX_FRAME_JOBS};
use super::job::Job;
use super::loading::{load, unavailable};
use super::overlay::{KnownResult, LoadMark, Overlay, repeated};
use super::proposal::{Resolution, resolve, winners_results};
use super::streams::{Entry, Streams};
use super::takeover::Takeover;
use super::turn::{Turn, within};
use super::waiting::WaitingRoom;

/// Why a loop ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to stop, and everything accepted is answered.
    Stopped,
    /// It met a higher epoch.
    Deposed,
}

enum Fetched {
    Stream(StreamId, LoadMark, Result<Entry, CommandError>),
    Lookup(CommandId, LoadMark, Result<Option<CommandResult>, LogError>),
}

enum Outcome {
    Proposed(Resolution),
    Confirmed(Result<Option<Vec<u8>>, LogError>),
}

struct InFlight {
    building: Building,
    /// `None` for a batch that appends nothing and only confirms the tail.
    frame: Option<Arc<EncodedFrame>>,
    outcome: BoxFuture<'static, Outcome>,
    since: Instant,
    /// Jobs were left behind for want of room.
    full: bool,
}

pub(super) struct FrameLoop {
    shared: Arc<Shared>,
    shard: Shard,
    epoch: u64,
    tail: Tail,
    last_time: Timestamp,
    streams: Streams,
    overlay: Overlay,
    waiting: WaitingRoom,
    ready: VecDeque<Job>,
    /// Repeatable ids of commands between arrival and answer.
    active: HashSet<CommandId>,
    size: FrameSize,
    in_flight: Option<InFlight>,
    fetching: FuturesUnordered<BoxFuture<'static, Fetched>>,
    deriving: Option<BoxFuture<'static, u64>>,
    /// When outstanding derived rows are written even though they are few.
    derive_by: Option<Pin<Box<Sleep>>>,
    /// They have waited long enough.
    derive_due: bool,
    derive_turn: Turn,
    frame_turn: Turn,
    /// Snapshots to be written, each with the frame after which it was taken.
    snapshots: Vec<(u64, StreamId, StoredSnapshot)>,
    /// States left memory since jobs became ready.
    left: bool,
    head: watch::Sender<u64>,
}

const INBOX: usize = 256;

impl FrameLoop {
    pub(super) fn new(shared: Arc<Shared>, shard: Shard, start: Takeover, head: watch::Sender<u64>) -> Self {
        head.send_replace(start.tail.head());
        let derive_turn = Turn::new(Arc::clone(&shared.deriving));
        let frame_turn = Turn::new(Arc::clone(&shared.proposing));
        Self {
            // Never fewer than the streams that one job may need.
            streams: Streams::new(shared.config.cached_streams.max(1_024)),
            shared,
            shard,
            epoch: start.tail.epoch,
            tail: start.tail,
            last_time: start.last_time,
            overlay: start.overlay,
            waiting: WaitingRoom::default(),
            ready: VecDeque::new(),
            active: HashSet::new(),
            size: FrameSize::new(),
            in_flight: None,
            fetching: FuturesUnordered::new(),
            deriving: None,
            derive_by: None,
            derive_due: false,
            derive_turn,
            frame_turn,
            snapshots: Vec::new(),
            left: false,
            head,
        }
    }

    /// Runs until told to stop or deposed. Whatever is still queued then stays in `queue` for the caller.
    pub(super) async fn run(&mut self, queue: &mut mpsc::Receiver<Job>, stop: &CancellationToken) -> Ended {
        let mut inbox = Vec::with_capacity(INBOX);
        let mut open = true;
        loop {
            if self.in_flight.is_none() {
                self.take_waiting_jobs(queue);
                self.start_frame_when_due();
            }
            self.derive_when_due();
            if !open && self.is_idle() {
                self.finish_deriving().await;
                return Ended::Stopped;
            }
            let room = self.has_room();
            tokio::select! {
                biased;
                outcome = async { match &mut self.in_flight { Some(f) => (&mut f.outcome).await, None => std::future::pending().await } } => {
                    if let Some(ended) = self.finish(outcome).await {
                        return ended;
                    }
                }
                Some(fetched) = self.fetching.next() => self.fetched(fetched),
                frame = async { match &mut self.deriving { Some(d) => d.await, None => std::future::pending().await } } => {
                    self.deriving = None;
                    self.overlay.acknowledge(frame);
                }
                () = self.derive_turn.come() => {}
                () = self.frame_turn.come() => {}
                () = async { match &mut self.derive_by { Some(due) => due.await, None => std::future::pending().await } } => {
                    (self.derive_by, self.derive_due) = (None, true);
                }
                // Before the queue, which may never be empty.
                () = stop.cancelled(), if !queue.is_closed() => queue.close(),
                count = queue.recv_many(&mut inbox, INBOX), if open && room => {
                    open = count > 0;
                    inbox.drain(..).for_each(|job| self.admit(job));
                }
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.ready.is_empty() && self.waiting.len() == 0
    }

    fn has_room(&self) -> bool {
        self.ready.len() + self.waiting.len() < self.shared.config.queue
    }

    /// Everything that has arrived by now shares the next frame.
    fn take_waiting_jobs(&mut self, queue: &mut mpsc::Receiver<Job>) {
        while self.has_room()
            && let Ok(job) = queue.try_recv()
        {
            self.admit(job);
        }
    }

    /// Takes a job in: answers a repeat from memory, else finds out what it needs.
    fn admit(&mut self, job: Job) {
        if let Some(id) = job.lookup() {
            if let Some(known) = self.overlay.result(id) {
                return job.repeat(known.accepted, &known.body_hash);
            }
            // Two callers with one id: the second is told so, rather than decided twice.
            if self.active.contains(&id) {
                return job.fail(CommandError::InFlight);
            }
            if matches!(job, Job::Command { .. }) {
                self.active.insert(id);
            }
        }
        self.place(job);
    }

    /// Lets a job run, or wait aside for what is not in memory.
    fn place(&mut self, job: Job) {
        let streams = job.streams();
        let lookup = job.lookup();
        let missing: Vec<StreamId> = streams.iter().filter(|s| !self.streams.contains(s)).cloned().collect();
        if missing.is_empty() && lookup.is_none() && !self.waiting.has_queue(&streams) {
            return self.ready.push_back(job);
        }
        let fetch = self.waiting.seat(job, missing, lookup);
        for stream in fetch.streams {
            let (shared, pin) = (Arc::clone(&self.shared), self.overlay.pin());
            self.fetching.push(Box::pin(async move {
                let entry = load(&shared, &stream).await;
                Fetched::Stream(stream, pin, entry)
            }));
        }
        if let Some(id) = fetch.lookup {
            let (shared, pin, shard) = (Arc::clone(&self.shared), self.overlay.pin(), self.shard);
            self.fetching.push(Box::pin(async move {
                Fetched::Lookup(id, pin, shared.log.command_result(shard, id).await)
            }));
        }
    }

    fn fetched(&mut self, fetched: Fetched) {
        let free = match fetched {
            Fetched::Stream(stream, pin, entry) => {
                let entry = entry.and_then(|mut entry| {
                    for event in self.overlay.events(&stream) {
                        entry.apply(event).map_err(CommandError::Internal)?;
                    }
                    Ok(entry)
                });
                self.overlay.unpin(pin);
                match entry {
                    Ok(entry) => {
                        // A command that drew this id may have put it there meanwhile; that one has the newer state.
                        if !self.streams.contains(&stream) {
                            self.streams.insert(entry);
                        }
                        self.waiting.loaded(&stream)
                    }
                    Err(error) => {
                        let active = &mut self.active;
                        self.waiting.load_failed(&stream, &error, |job| release_id(active, job))
                    }
                }
            }
            Fetched::Lookup(id, pin, result) => {
                let known = self.overlay.result(id);
                self.overlay.unpin(pin);
                let active = &mut self.active;
                match (known, result) {
                    (Some(known), _) => self.waiting.lookup_ended(id, |job| {
                        release_id(active, &job);
                        job.repeat(known.accepted.clone(), &known.body_hash);
                    }),
                    (None, Ok(Some(stored))) => {
                        let known: KnownResult = repeated(&stored.record, stored.position);
                        self.overlay.remember(id, known.clone());
                        self.waiting.lookup_ended(id, |job| {
                            release_id(active, &job);
                            job.repeat(known.accepted.clone(), &known.body_hash);
                        })
                    }
                    (None, Ok(None)) => self.waiting.looked_up(id),
                    (None, Err(error)) => {
                        let error = unavailable(error);
                        self.waiting.lookup_ended(id, |job| {
                            release_id(active, &job);
                            job.fail(error.clone());
                        })
                    }
                }
            }
        };
        // While they waited aside, a state that they need may have left memory.
        self.left |= free.iter().any(|job| !job.streams().iter().all(|stream| self.streams.contains(stream)));
        self.ready.extend(free);
    }

    /// What was in memory when a job became ready may have left since: such a job waits aside again, and so do those behind it
    /// on the same streams, so that they keep their order.
    fn seat_unloaded(&mut self) {
        if !std::mem::take(&mut self.left) {
            return;
        }
        let mut seated: HashSet<StreamId> = HashSet::new();
        for job in std::mem::take(&mut self.ready) {
            let streams = job.streams();
            if streams.iter().all(|stream| self.streams.contains(stream) && !seated.contains(stream)) {
                self.ready.push_back(job);
            } else {
                seated.extend(streams);
                self.place(job);
            }
        }
    }

    /// Starts a frame when something is ready and it is this shard's turn; until then more may join it.
    fn start_frame_when_due(&mut self) {
        let room = self.overlay.bytes() <= self.shared.config.overlay_bytes;
        if room && !self.ready.is_empty() {
            if !self.frame_turn.take() {
                return;
            }
            self.start_frame();
        }
        // A turn that started no frame is another shard's.
        drop(self.frame_turn.hand_over());
    }

    /// Decides what is ready and proposes the frame; a batch that appends nothing confirms the tail instead.
    fn start_frame(&mut self) {
        self.left |= self.streams.trim();
        self.seat_unloaded();
        let now = domain::whole_micros(self.shared.clock.now()).max(self.last_time);
        let mut building = Building::new(&self.tail, now);
        let mut taken = 0;
        while building.bytes < self.size.bytes()
            && taken < MAX_FRAME_JOBS
            && let Some(job) = self.ready.pop_front()
        {
            building.run(job, &mut self.streams, &self.shared.registry);
            taken += 1;
        }
        if building.is_empty() {
            return;
        }
        let log = Arc::clone(&self.shared.log);
        let (full, turn) = (!self.ready.is_empty(), self.frame_turn.hand_over());
        let (frame, outcome): (_, BoxFuture<'static, Outcome>) = if building.needs_slot() {
            let frame = Arc::new(encode_frame(
                self.shared.store.id,
                &self.tail,
                self.epoch,
                Uuid::new_v4(),
                &building.stored_events,
                &building.records,
            ));
            building.stored_events = Vec::new();
            let proposal = Arc::clone(&frame);
            let outcome = async move { Outcome::Proposed(resolve(log, proposal).await) };
            (Some(frame), Box::pin(within(turn, outcome)))
        } else {
            let slot = self.tail.slot;
            let outcome = async move { Outcome::Confirmed(log.read_slot(slot).await) };
            (None, Box::pin(within(turn, outcome)))
        };
        self.in_flight = Some(InFlight { building, frame, outcome, since: Instant::now(), full });
    }

    async fn finish(&mut self, outcome: Outcome) -> Option<Ended> {
        let InFlight { building, frame, since, full, .. } = self.in_flight.take()?;
        for id in &building.repeatable {
            self.active.remove(id);
        }
        match (outcome, frame) {
            (Outcome::Proposed(Resolution::Decided), Some(frame)) => {
                self.size.learn(since.elapsed(), full);
                self.decided(building, &frame);
                None
            }
            (Outcome::Proposed(Resolution::NotWritten(reason)), _) => {
                self.streams.forget(&building.touched);
                self.left = true;
                building.answer_lost(&CommandError::Unavailable(reason), |_| None);
                None
            }
            (Outcome::Confirmed(Ok(None)), _) => {
                building.answer_confirmed(&self.tail);
                None
            }
            (Outcome::Confirmed(Err(error)), _) => {
                building.answer_lost(&unavailable(error), |_| None);
                None
            }
            (Outcome::Proposed(_) | Outcome::Confirmed(Ok(Some(_))), _) => {
                self.deposed(building).await;
                Some(Ended::Deposed)
            }
        }
    }

    fn decided(&mut self, mut building: Building, frame: &EncodedFrame) {
        self.tail = Tail::after(&frame.header, frame.hash);
        if let Some(last) = building.events.last() {
            self.last_time = last.time;
        }
        let decided = Arc::new(DecidedFrame {
            header: frame.header.clone(),
            hash: frame.hash,
            events: std::mem::take(&mut building.events),
            commands: building.records.clone(),
        });
        self.overlay.add(&decided, frame.bytes.len());
        self.head.send_replace(self.tail.head());
        self.shared.fan_out.publish(decided);
        let touched = std::mem::take(&mut building.touched);
        building.answer_decided(&frame.header);
        self.take_snapshots(&touched);
    }

    /// The states in memory are the decided ones right now: no frame is in flight.
    fn take_snapshots(&mut self, touched: &[StreamId]) {
        let every = self.shared.config.snapshot_every.max(1);
        for stream in touched {
            let Some(entry) = self.streams.get_mut(stream).filter(|entry| entry.snapshot_due(every)) else {
                continue;
            };
            match entry.state.snapshot() {
                Ok(contents) => {
                    entry.snapshot = (entry.meta.version, contents.state.len());
                    let snapshot = StoredSnapshot {
                        version: entry.meta.version,
                        created_at: entry.meta.created_at.timestamp_micros(),
                        updated_at: entry.meta.updated_at.timestamp_micros(),
                        contents,
                    };
                    self.snapshots.push((self.tail.slot.frame - 1, stream.clone(), snapshot));
                }
                Err(error) => tracing::error!(%stream, %error, "no snapshot could be taken"),
            }
        }
    }

    /// Another owner has the slot. Its frames may hold my commands all the same: a repeat may have reached it.
    async fn deposed(&mut self, building: Building) {
        tracing::warn!(shard = %self.shard, epoch = self.epoch, "deposed: another owner has the next slot");
        let (winners, complete) = winners_results(&*self.shared.log, self.tail.slot).await;
        let error = CommandError::NotOwner { shard: self.shard, owner: None };
        building.answer_lost(&error, |lost| match winners.iter().find(|won| won.accepted.id == lost.id) {
            Some(won) if won.body_hash == lost.body_hash => Some(Ok(won.accepted.clone())),
            Some(_) => Some(Err(CommandError::BodyMismatch)),
            None if complete => None,
            // It may stand in a frame that couldn't be read.
            None => Some(Err(CommandError::OutcomeUnknown(lost.id))),
        });
        for job in self.ready.drain(..).chain(self.waiting.drain()) {
            job.fail(error.clone());
        }
    }
}

fn release_id(active: &mut HashSet<CommandId>, job: &Job) {
    if let Job::Command { request, .. } = job
        && request.id.is_repeatable()
    {
        active.remove(&request.id);
    }
}
