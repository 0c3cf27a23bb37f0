//! Faults between the owners and a real event log: lost replies, late writes, pauses, kills.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::command::CommandId;
use domain::event::RecordedEvent;
use domain::frame::{DecidedFrame, EncodedFrame, Slot};
use domain::merkle::Hash;
use domain::ports::log::{
    CommandResult, Decision, DerivedRows, EventLog, LogError, LogReader, Partitions, Progress, ProposeError,
    StoreInfo, StoredSnapshot,
};
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use tokio::sync::Semaphore;

/// What happens to one proposal.
#[derive(Debug)]
pub enum ProposeFault {
    /// It is applied, and the reply is lost.
    AppliedThenTimedOut,
    /// It is on its way for now, and the reply is lost; [`FaultyLog::land_late`] applies it.
    TimedOutThenLands,
    /// Storage refuses it.
    NotWritten,
    /// The process is paused before the write is sent; a permit lets it go on.
    PausedBefore(Arc<Semaphore>),
    /// The process is paused after the write was applied; a permit lets it go on.
    PausedAfter(Arc<Semaphore>),
}

/// A call of the port that may meet faults beside the proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`LogReader::read_frames`].
    ReadFrames,
    /// [`LogReader::read_stream`].
    ReadStream,
    /// [`EventLog::read_slot`].
    ReadSlot,
    /// [`EventLog::command_result`].
    CommandResult,
    /// [`EventLog::write_derived`].
    WriteDerived,
    /// [`EventLog::write_snapshots`].
    WriteSnapshots,
}

/// What happens to one such call.
#[derive(Debug)]
pub enum CallFault {
    /// Storage can't be reached.
    Fails,
    /// Storage can't be reached, which shows once there is a permit.
    FailsLate(Arc<Semaphore>),
    /// A fault of the program's own shows.
    Panics,
    /// The process is paused before the call; a permit lets it go on.
    PausedBefore(Arc<Semaphore>),
    /// The process is paused with the answer on its way; a permit lets it go on.
    PausedAfter(Arc<Semaphore>),
}

/// An event log with faults between it and its user.
pub struct FaultyLog {
    inner: Arc<dyn EventLog>,
    proposals: Mutex<VecDeque<ProposeFault>>,
    calls: Mutex<Vec<(Call, CallFault)>>,
    late: Mutex<Vec<Arc<EncodedFrame>>>,
    reached: Semaphore,
    /// Calls that still go through before the process counts as killed.
    steps: AtomicU64,
    /// What checkpoint of derived rows the next looks at a shard's progress see, and how many of them do.
    checkpoint: Mutex<Option<(Shard, u64, usize)>>,
    /// Loads of aggregates so far, under way, and the most that were under way at the same time.
    loads: AtomicU64,
    loading: AtomicU64,
    most_loading: AtomicU64,
    read_after: Mutex<Option<u64>>,
    partitions: Mutex<Option<Partitions>>,
    frames_read: AtomicU64,
    scans: AtomicU64,
}

impl FaultyLog {
    /// A log without faults so far.
    pub fn new(inner: Arc<dyn EventLog>) -> Arc<Self> {
        Self::killed_after(inner, u64::MAX)
    }

    /// A log whose user is killed after `steps` calls: later calls have no effect and never return.
    pub fn killed_after(inner: Arc<dyn EventLog>, steps: u64) -> Arc<Self> {
        let partitions = inner.partitions();
        Arc::new(Self {
            inner,
            proposals: Mutex::default(),
            calls: Mutex::default(),
            late: Mutex::default(),
            reached: Semaphore::new(0),
            steps: AtomicU64::new(steps),
            checkpoint: Mutex::default(),
            loads: AtomicU64::new(0),
            loading: AtomicU64::new(0),
            most_loading: AtomicU64::new(0),
            read_after: Mutex::default(),
            partitions: Mutex::new(partitions),
            frames_read: AtomicU64::new(0),
            scans: AtomicU64::new(0),
        })
    }

    /// The next proposals meet these faults, in order.
    pub fn inject(&self, faults: impl IntoIterator<Item = ProposeFault>) {
        self.proposals.lock().expect("no panic").extend(faults);
    }

    /// The next serial read of a slot is paused until the semaphore has a permit.
    pub fn pause_slot_read(&self, gate: Arc<Semaphore>) {
        self.inject_in(Call::ReadSlot, [CallFault::PausedBefore(gate)]);
    }

    /// The next calls of this kind meet these faults, in order.
    pub fn inject_in(&self, call: Call, faults: impl IntoIterator<Item = CallFault>) {
        self.calls.lock().expect("no panic").extend(faults.into_iter().map(|fault| (call, fault)));
    }

    /// The next looks at a shard's progress are so early that derived rows count only up to a frame: those above it are written already.
    pub fn early_progress(&self, shard: Shard, derived_through: u64, looks: usize) {
        *self.checkpoint.lock().expect("no panic") = Some((shard, derived_through, looks));
    }

    /// Loads of aggregates so far, and the most of them that were under way at the same time: each begins with its snapshots.
    pub fn loads(&self) -> (u64, u64) {
        (self.loads.load(Ordering::SeqCst), self.most_loading.load(Ordering::SeqCst))
    }

    /// Owners that start from now on find partitions like these, or a log without any, whose frames they don't measure.
    pub fn set_partitions(&self, partitions: Option<Partitions>) {
        *self.partitions.lock().expect("no panic") = partitions;
    }

    /// Frames read in pages so far.
    pub fn frames_read(&self) -> u64 {
        self.frames_read.load(Ordering::SeqCst)
    }

    /// Scans of derived rows so far.
    pub fn scans(&self) -> u64 {
        self.scans.load(Ordering::SeqCst)
    }

    /// The version after which a stream's events were last asked for.
    pub fn read_after(&self) -> Option<u64> {
        *self.read_after.lock().expect("no panic")
    }

    /// Makes a call, with the fault that is next for its kind.
    async fn call<T>(
        &self,
        kind: Call,
        call: impl Future<Output = Result<T, LogError>> + Send,
    ) -> Result<T, LogError> {
        self.step().await;
        let fault = {
            let mut calls = self.calls.lock().expect("no panic");
            calls.iter().position(|(of, _)| *of == kind).map(|at| calls.remove(at).1)
        };
        match fault {
            None => call.await,
            Some(CallFault::Fails) => {
                self.met();
                Err(LogError::Unavailable("out of reach".into()))
            }
            Some(CallFault::FailsLate(gate)) => {
                self.met();
                pass(&gate).await;
                Err(LogError::Unavailable("out of reach".into()))
            }
            Some(CallFault::Panics) => {
                self.met();
                panic!("a fault that a test asked for")
            }
            Some(CallFault::PausedBefore(gate)) => {
                self.met();
                pass(&gate).await;
                call.await
            }
            Some(CallFault::PausedAfter(gate)) => {
                let answer = call.await;
                self.met();
                pass(&gate).await;
                answer
            }
        }
    }

    /// Waits until a fault has been met.
    pub async fn fault_met(&self) {
        self.reached.acquire().await.expect("never closed").forget();
    }

    /// Applies the writes that were on their way; answers what became of each.
    pub async fn land_late(&self) -> Vec<Result<Decision, ProposeError>> {
        let late = std::mem::take(&mut *self.late.lock().expect("no panic"));
        let mut outcomes = Vec::new();
        for frame in late {
            outcomes.push(self.inner.propose(frame).await);
        }
        outcomes
    }

    /// Whether the kill has happened.
    pub fn killed(&self) -> bool {
        self.steps.load(Ordering::SeqCst) == 0
    }

    /// Goes through, unless the process has been killed by now.
    async fn step(&self) {
        let alive = self.steps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if !alive || self.killed() {
            self.reached.add_permits(1);
            std::future::pending::<()>().await;
        }
    }

    fn met(&self) {
        self.reached.add_permits(1);
    }
}

async fn pass(gate: &Semaphore) {
    gate.acquire().await.expect("never closed").forget();
}

#[async_trait]
impl LogReader for FaultyLog {
    fn store(&self) -> StoreInfo {
        self.inner.store()
    }

    async fn read_frames(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, LogError> {
        let read = self.call(Call::ReadFrames, self.inner.read_frames(shard, from, limit, max_bytes)).await;
        let frames = read.as_ref().map_or(0, Vec::len);
        self.frames_read.fetch_add(frames as u64, Ordering::SeqCst);
        read
    }

    async fn frame_of_position(&self, position: Position) -> Result<u64, LogError> {
        self.step().await;
        self.inner.frame_of_position(position).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        *self.read_after.lock().expect("no panic") = Some(after);
        self.call(Call::ReadStream, self.inner.read_stream(stream, after, limit)).await
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    fn partitions(&self) -> Option<Partitions> {
        *self.partitions.lock().expect("no panic")
    }

    async fn propose(&self, frame: Arc<EncodedFrame>) -> Result<Decision, ProposeError> {
        self.step().await;
        let fault = self.proposals.lock().expect("no panic").pop_front();
        let lost = || ProposeError::Unknown("the reply was lost".into());
        let outcome = match fault {
            None => self.inner.propose(frame).await,
            Some(ProposeFault::NotWritten) => {
                self.met();
                return Err(ProposeError::NotWritten("no space left".into()));
            }
            Some(ProposeFault::AppliedThenTimedOut) => {
                let applied = self.inner.propose(frame).await;
                self.met();
                applied.and(Err(lost()))
            }
            Some(ProposeFault::TimedOutThenLands) => {
                self.late.lock().expect("no panic").push(frame);
                self.met();
                Err(lost())
            }
            Some(ProposeFault::PausedBefore(gate)) => {
                self.met();
                pass(&gate).await;
                self.inner.propose(frame).await
            }
            Some(ProposeFault::PausedAfter(gate)) => {
                let applied = self.inner.propose(frame).await;
                self.met();
                pass(&gate).await;
                applied
            }
        };
        // A kill between the write and its reply.
        self.step().await;
        outcome
    }

    async fn read_slot(&self, slot: Slot) -> Result<Option<Vec<u8>>, LogError> {
        self.call(Call::ReadSlot, self.inner.read_slot(slot)).await
    }

    async fn progress(&self, shard: Shard) -> Result<Progress, LogError> {
        self.step().await;
        let mut progress = self.inner.progress(shard).await?;
        let mut checkpoint = self.checkpoint.lock().expect("no panic");
        if let Some((of, derived_through, looks)) = &mut *checkpoint
            && *of == shard
            && *looks > 0
        {
            *looks -= 1;
            progress.derived_through = *derived_through;
        }
        Ok(progress)
    }

    async fn write_derived(&self, shard: Shard, frames: &[Arc<DecidedFrame>]) -> Result<(), LogError> {
        let written = self.call(Call::WriteDerived, self.inner.write_derived(shard, frames)).await;
        self.step().await;
        written
    }

    async fn write_published(&self, shard: Shard, frame: u64) -> Result<(), LogError> {
        self.step().await;
        self.inner.write_published(shard, frame).await
    }

    async fn write_snapshots(
        &self,
        shard: Shard,
        snapshots: &[(StreamId, StoredSnapshot)],
    ) -> Result<(), LogError> {
        self.call(Call::WriteSnapshots, self.inner.write_snapshots(shard, snapshots)).await
    }

    async fn read_snapshots(&self, stream: &StreamId) -> Result<Vec<StoredSnapshot>, LogError> {
        self.step().await;
        let loading = self.loading.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_loading.fetch_max(loading, Ordering::SeqCst);
        self.loads.fetch_add(1, Ordering::SeqCst);
        let snapshots = self.inner.read_snapshots(stream).await;
        self.loading.fetch_sub(1, Ordering::SeqCst);
        snapshots
    }

    async fn command_result(&self, shard: Shard, id: CommandId) -> Result<Option<CommandResult>, LogError> {
        self.call(Call::CommandResult, self.inner.command_result(shard, id)).await
    }

    async fn drop_derived(&self, shard: Shard) -> Result<(), LogError> {
        self.step().await;
        self.inner.drop_derived(shard).await
    }

    async fn derived_rows(&self, key: &Hash, bounds: &[u64]) -> Result<Vec<DerivedRows>, LogError> {
        self.step().await;
        self.scans.fetch_add(1, Ordering::SeqCst);
        self.inner.derived_rows(key, bounds).await
    }
}
