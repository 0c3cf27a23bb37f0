//! The frame loop of one shard. It does no I/O but the decision: loads, lookups and derived rows run beside it.

mod deriving;
mod fetching;

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use domain::Timestamp;
use domain::command::{CommandError, CommandId};
use domain::frame::{DecidedFrame, EncodedFrame, Tail, encode_frame};
use domain::ports::log::LogError;
use domain::position::Shard;
use domain::stream::StreamId;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::fetching::{Fetched, ToFetch, left};
use super::OwnerShared;
use super::building::Building;
use super::config::{FrameSize, MAX_FRAME_JOBS};
use super::figures::ShardFigures;
use super::job::Job;
use super::loading::unavailable;
use super::overlay::Overlay;
use super::partition::Partition;
use super::proposal::{Resolution, resolve, winners_results};
use super::snapshots::Snapshots;
use super::streams::{Named, Streams};
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
    shared: Arc<OwnerShared>,
    shard: Shard,
    epoch: u64,
    tail: Tail,
    last_time: Timestamp,
    streams: Streams,
    /// What the jobs in here name.
    named: Named,
    overlay: Overlay,
    waiting: WaitingRoom,
    ready: VecDeque<Job>,
    /// Repeatable ids of commands between arrival and answer.
    active: HashSet<CommandId>,
    size: FrameSize,
    in_flight: Option<InFlight>,
    fetching: FuturesUnordered<BoxFuture<'static, Fetched>>,
    /// What is to be fetched when others have been.
    to_fetch: VecDeque<ToFetch>,
    deriving: Option<BoxFuture<'static, u64>>,
    /// When outstanding derived rows are written even though they are few.
    derive_by: Option<Pin<Box<Sleep>>>,
    /// They have waited long enough.
    derive_due: bool,
    derive_turn: Turn,
    frame_turn: Turn,
    snapshots: Snapshots,
    partition: Partition,
    figures: Arc<ShardFigures>,
    /// States were forgotten since jobs became ready.
    left: bool,
    head: watch::Sender<u64>,
}

const INBOX: usize = 256;

impl FrameLoop {
    pub(super) fn new(
        shared: Arc<OwnerShared>,
        shard: Shard,
        start: Takeover,
        head: watch::Sender<u64>,
    ) -> Self {
        head.send_replace(start.tail.head());
        let derive_turn = Turn::new(Arc::clone(&shared.deriving));
        let frame_turn = Turn::new(Arc::clone(&shared.proposing));
        let figures = shared.figures(shard);
        let snapshots = Snapshots::new(Arc::clone(&shared), shard, Arc::clone(&figures));
        let partition = Partition::new(Arc::clone(&shared.log), start.tail.slot);
        Self {
            streams: Streams::new(shared.config.cached_streams, shared.config.cached_bytes),
            named: Named::default(),
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
            to_fetch: VecDeque::new(),
            deriving: None,
            derive_by: None,
            derive_due: false,
            derive_turn,
            frame_turn,
            snapshots,
            partition,
            figures,
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
            self.snapshots.write_when_due(self.overlay.derived_through());
            self.tell(queue.len());
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
                () = self.snapshots.written() => {}
                () = self.partition.measured() => {}
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

    /// Bounded in jobs, and in the aggregates that they keep in memory.
    fn has_room(&self) -> bool {
        let queue = self.shared.config.queue;
        self.ready.len() + self.waiting.len() < queue && self.named.len() < queue
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
        self.named.add(job.streams());
        self.place(job);
        self.fetch();
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
        self.to_fetch.extend(fetch.streams.into_iter().map(ToFetch::Stream));
        self.to_fetch.extend(fetch.lookup.map(ToFetch::Lookup));
    }

    /// What was in memory when a job became ready may have been forgotten since: such a job waits aside again, and so do those behind it
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
        self.fetch();
    }

    /// Starts a frame when something is ready and it is this shard's turn; until then more may join it.
    fn start_frame_when_due(&mut self) {
        let room = self.overlay.bytes() <= self.shared.config.overlay_bytes;
        if room && self.partition.is_known() && !self.ready.is_empty() {
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
        self.streams.trim(&self.named);
        self.seat_unloaded();
        let now = domain::whole_micros(self.shared.clock.now()).max(self.last_time);
        let mut building = Building::new(&self.tail, now);
        if self.partition.is_full(self.tail.slot) {
            return self.propose(building);
        }
        let bytes = self.size.bytes().min(self.partition.share(self.tail.slot));
        let (mut taken, began) = (0, Instant::now());
        while building.bytes < bytes
            && taken < MAX_FRAME_JOBS
            && let Some(job) = self.ready.pop_front()
        {
            self.named.remove(&job.streams());
            building.run(job, &mut self.streams, &self.shared.registry, self.shared.store.shards);
            taken += 1;
        }
        if building.is_empty() {
            return;
        }
        if building.needs_slot() {
            self.figures.decide_seconds.record(began.elapsed());
            return self.propose(building);
        }
        let (log, slot) = (Arc::clone(&self.shared.log), self.tail.slot);
        let outcome = async move { Outcome::Confirmed(log.read_slot(slot).await) };
        self.send(building, None, Box::pin(outcome));
    }

    /// Proposes a frame of what was built; of nothing, where the partition has no room for more.
    fn propose(&mut self, mut building: Building) {
        let frame = Arc::new(encode_frame(
            self.shared.store.id,
            &self.tail,
            self.epoch,
            Uuid::new_v4(),
            &building.stored_events,
            &building.records,
        ));
        building.stored_events = Vec::new();
        let (log, proposal) = (Arc::clone(&self.shared.log), Arc::clone(&frame));
        let outcome = async move { Outcome::Proposed(resolve(log, proposal).await) };
        self.send(building, Some(frame), Box::pin(outcome));
    }

    fn send(
        &mut self,
        building: Building,
        frame: Option<Arc<EncodedFrame>>,
        outcome: BoxFuture<'static, Outcome>,
    ) {
        let (full, turn) = (!self.ready.is_empty(), self.frame_turn.hand_over());
        let outcome = Box::pin(within(turn, outcome));
        self.in_flight = Some(InFlight { building, frame, outcome, since: Instant::now(), full });
    }

    async fn finish(&mut self, outcome: Outcome) -> Option<Ended> {
        let InFlight { building, frame, since, full, .. } = self.in_flight.take()?;
        for id in &building.repeatable {
            self.active.remove(id);
        }
        match (outcome, frame) {
            (Outcome::Proposed(Resolution::Decided), Some(frame)) => {
                let took = since.elapsed();
                self.size.learn(took, full);
                self.figures.commit_seconds.record(took);
                self.decided(building, &frame);
                None
            }
            (Outcome::Proposed(Resolution::NotWritten(reason)), _) => {
                self.streams.forget(&building.touched);
                self.left = true;
                let error = CommandError::Unavailable(reason);
                if building.is_empty() {
                    // Those for whom the partition was to be filled up.
                    for job in self.ready.drain(..) {
                        left(&mut self.active, &mut self.named, &job);
                        job.fail(error.clone());
                    }
                }
                building.answer_lost(&error, |_| None);
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
        self.figures.frame_events.record(decided.events.len() as f64);
        self.figures.frame_bytes.record(frame.bytes.len() as f64);
        self.overlay.add(&decided, frame.bytes.len());
        self.partition.add(frame.header.slot, frame.bytes.len());
        self.head.send_replace(self.tail.head());
        self.shared.fan_out.publish(decided);
        let touched = std::mem::take(&mut building.touched);
        building.answer_decided(&frame.header);
        self.streams.weigh(&touched);
        self.take_snapshots(&touched);
    }

    /// The states in memory are the decided ones right now: no frame is in flight.
    fn take_snapshots(&mut self, touched: &[StreamId]) {
        for stream in touched {
            if let Some(entry) = self.streams.get_mut(stream) {
                self.snapshots.take(self.tail.slot.frame - 1, entry);
            }
        }
    }

    fn tell(&self, queued: usize) {
        let (figures, (answers, answer_bytes)) = (&self.figures, self.overlay.answers());
        figures.queued_jobs.set(queued as f64);
        figures.jobs.set((self.ready.len() + self.waiting.len()) as f64);
        figures.named_streams.set(self.named.len() as f64);
        figures.cached_streams.set(self.streams.len() as f64);
        figures.cached_bytes.set(self.streams.bytes() as f64);
        figures.loads.set(self.fetching.len() as f64);
        figures.overlay_bytes.set(self.overlay.bytes() as f64);
        figures.answers.set(answers as f64);
        figures.answer_bytes.set(answer_bytes as f64);
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
