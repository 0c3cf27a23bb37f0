//! Verifying a store (P8): first the log, from its bytes alone, then the derived rows, which auditors read.
//!
//! Of the log: every frame's place, links, hashes and contents ([`domain::verify`]), that the versions of every stream are
//! 1, 2, 3, … in order, and that times never decrease. For the versions it keeps about 50 bytes for each stream of one shard at a time.

use std::collections::HashMap;
use std::time::Duration;

use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::frame::{DecidedFrame, Tail};
use domain::merkle::Hash;
use domain::ports::log::{EventLog, LogError};
use domain::position::{Position, Shard};
use domain::verify::{Fault, verify_and_decode};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::derived_digest::{DerivedDigest, stream_key};

/// A page of frames: at most so many, and about so many bytes.
const PAGE_FRAMES: usize = 1024;
const PAGE_BYTES: usize = 4 << 20;
/// While derived rows are being written, a digest may catch them between two frames; it is then taken again, so many times.
const DIGEST_ATTEMPTS: usize = 5;
/// Rows that nothing leads to may be those of frames that are being derived: how long it takes until that shows, and how often it is looked.
const SETTLED: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How far a shard holds together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardReport {
    /// The shard.
    pub shard: Shard,
    /// The position of its last event that could be verified; `n` is 0 when it has none.
    pub head: Position,
    /// The hash of the last frame that could be verified, lower-case hex; zeros when it has none.
    #[serde(serialize_with = "hex")]
    pub hash: Hash,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Log and derived rows hold together.
    pub ok: bool,
    /// Every shard.
    pub shards: Vec<ShardReport>,
    /// The first position that doesn't hold, of the lowest shard that has one.
    pub first_fault: Option<Position>,
    /// What doesn't hold there.
    pub fault_reason: Option<String>,
}

fn hex<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    let text: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    serializer.serialize_str(&text)
}

/// Verifies every shard of a store, also one that is being written to. `progress` is told the last position verified of a
/// shard, after every page.
///
/// # Errors
/// [`LogError::Unavailable`] when storage can't be read; what is wrong with the contents is in the report.
pub async fn verify_store(
    log: &dyn EventLog,
    mut progress: impl FnMut(Shard, Position) + Send,
) -> Result<VerifyReport, LogError> {
    let mut shards = Vec::new();
    let mut first: Option<Fault> = None;
    for shard in (0..log.store().shards).map(Shard) {
        let mut attempt = 1;
        let (tail, fault) = loop {
            match verify_shard(log, shard, &mut progress).await? {
                (_, Found::Unsettled) if attempt < DIGEST_ATTEMPTS => attempt += 1,
                (tail, found) => break (tail, found.fault()),
            }
        };
        shards.push(ShardReport { shard, head: Position { shard, n: tail.head() }, hash: tail.previous });
        first = first.or(fault);
    }
    let (first_fault, fault_reason) = first.map(|fault| (fault.position, fault.reason)).unzip();
    Ok(VerifyReport { ok: first_fault.is_none(), shards, first_fault, fault_reason })
}

/// What is wrong with the contents is a fault at `position`; that storage can't be read is not.
fn as_fault(position: Position, error: LogError) -> Result<Fault, LogError> {
    match error {
        LogError::Corrupt(..) => Ok(Fault { position, reason: error.to_string() }),
        LogError::Unavailable(_) => Err(error),
    }
}

/// What the verification of a shard found.
enum Found {
    Nothing,
    Fault(Fault),
    /// Rows were written meanwhile, so that nothing can be said of those that nothing leads to. All that must be there is.
    Unsettled,
}

impl Found {
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::Nothing | Self::Unsettled => None,
        }
    }
}

impl From<Option<Fault>> for Found {
    fn from(fault: Option<Fault>) -> Self {
        fault.map_or(Self::Nothing, Self::Fault)
    }
}

async fn verify_shard(
    log: &dyn EventLog,
    shard: Shard,
    progress: &mut (impl FnMut(Shard, Position) + Send),
) -> Result<(Tail, Found), LogError> {
    let derived = stable_digest(log, shard).await?;
    let mut walk = Walk {
        store: log.store().id,
        tail: Tail::empty(shard),
        through: derived.through,
        expected: DerivedDigest::default(),
        versions: HashMap::new(),
        last_time: Timestamp::MIN_UTC,
        ends: Vec::new(),
    };
    loop {
        let from = walk.tail.slot.frame;
        let page = match log.read_frames(shard, walk.tail.slot.frame, PAGE_FRAMES, PAGE_BYTES).await {
            Ok(page) if page.is_empty() => break,
            Ok(page) => page,
            Err(error) => {
                let fault = as_fault(walk.next(), error)?;
                return Ok((walk.tail, Found::Fault(fault)));
            }
        };
        let fault;
        // Hashing a page takes long enough to hold up whatever else this thread serves.
        (walk, fault) = tokio::task::spawn_blocking(move || walk.page(&page))
            .await
            .map_err(|e| LogError::Unavailable(format!("the verification was given up: {e}")))?;
        if let Some(fault) = fault {
            return Ok((walk.tail, Found::Fault(fault)));
        }
        if let Some(fault) = compare_index(log, shard, from, &std::mem::take(&mut walk.ends)).await? {
            return Ok((walk.tail, Found::Fault(fault)));
        }
        progress(shard, walk.head());
    }
    let found = compare_derived(log, &mut walk, derived).await?;
    Ok((walk.tail, found))
}

/// The way through one shard's log.
struct Walk {
    store: Uuid,
    tail: Tail,
    /// Derived rows reach up to this frame.
    through: u64,
    /// Of the rows that the frames so far lead to.
    expected: DerivedDigest,
    /// The last version of every stream so far, under the first half of a SHA-256 of its key.
    versions: HashMap<[u8; 16], u64>,
    last_time: Timestamp,
    /// The last positions of the frames of this page.
    ends: Vec<u64>,
}

impl Walk {
    fn head(&self) -> Position {
        Position { shard: self.tail.slot.shard, n: self.tail.head() }
    }

    fn next(&self) -> Position {
        Position { shard: self.tail.slot.shard, n: self.tail.next_position }
    }

    fn page(mut self, page: &[Vec<u8>]) -> (Self, Option<Fault>) {
        for bytes in page {
            let slot = self.tail.slot;
            let frame = match verify_and_decode(self.store, &self.tail, bytes) {
                Ok((tail, frame)) => {
                    self.tail = tail;
                    frame
                }
                Err(fault) => return (self, Some(fault)),
            };
            if let Some(fault) = frame.events.iter().find_map(|event| self.follow(event)) {
                return (self, Some(fault));
            }
            self.ends.push(frame.header.last_position());
            if slot.frame <= self.through {
                self.expected.frame(&frame);
            }
        }
        (self, None)
    }

    /// What only the events before this one can tell.
    fn follow(&mut self, event: &RecordedEvent) -> Option<Fault> {
        let fault = |reason: String| Some(Fault { position: event.position, reason });
        let digest = Sha256::digest(stream_key(&event.stream));
        let mut name = [0; 16];
        name.copy_from_slice(&digest[..16]);
        let version = self.versions.entry(name).or_default();
        if event.version != *version + 1 {
            return fault(format!("version {} of {} follows version {version}", event.version, event.stream));
        }
        *version += 1;
        if event.time < self.last_time {
            return fault("its time lies before that of the event before it".to_owned());
        }
        self.last_time = event.time;
        None
    }
}

/// Compares the log's own index of positions with the frames of a page, which begins at frame `from`.
async fn compare_index(
    log: &dyn EventLog,
    shard: Shard,
    from: u64,
    ends: &[u64],
) -> Result<Option<Fault>, LogError> {
    let fault = |frame: u64, n: u64| {
        let reason = format!("frame {frame} of shard {shard}: the index of positions says otherwise");
        Some(Fault { position: Position { shard, n }, reason })
    };
    let indexed = match log.indexed_positions(shard, from, ends.len()).await {
        Ok(None) => return Ok(None),
        Ok(Some(indexed)) => indexed,
        Err(error) => {
            let n = ends.first().copied().unwrap_or(0).max(1);
            return as_fault(Position { shard, n }, error).map(Some);
        }
    };
    let differs = (from..).zip(ends.iter().zip(indexed.iter().map(Some).chain(std::iter::repeat(None))));
    Ok(differs.filter(|(_, (end, found))| Some(*end) != *found).find_map(|(frame, (end, _))| {
        // A fence before the first event ends at position 0.
        fault(frame, (*end).max(1))
    }))
}

/// A digest of derived rows, and the frame that they reach.
struct Derived {
    through: u64,
    /// `None` when rows were written whenever it was taken.
    digest: Result<Option<Hash>, Fault>,
}

async fn stable_digest(log: &dyn EventLog, shard: Shard) -> Result<Derived, LogError> {
    let start = Position { shard, n: 1 };
    let mut through = 0;
    for _ in 0..DIGEST_ATTEMPTS {
        let taken = async {
            let before = log.progress(shard).await?.derived_through;
            let digest = log.derived_digest(shard).await?;
            Ok((before, digest, log.progress(shard).await?.derived_through))
        };
        match taken.await {
            Ok((before, digest, after)) if before == after => {
                return Ok(Derived { through: before, digest: Ok(Some(digest)) });
            }
            Ok((before, ..)) => through = before,
            Err(error) => return Ok(Derived { through: 0, digest: Err(as_fault(start, error)?) }),
        }
    }
    Ok(Derived { through, digest: Ok(None) })
}

async fn compare_derived(log: &dyn EventLog, walk: &mut Walk, derived: Derived) -> Result<Found, LogError> {
    let last_frame = walk.tail.slot.frame - 1;
    if derived.through > last_frame {
        let reason =
            format!("derived rows know frame {}, but the log ends at frame {last_frame}", derived.through);
        return Ok(Found::Fault(Fault { position: walk.next(), reason }));
    }
    let expected = std::mem::take(&mut walk.expected).finish();
    match derived.digest {
        Err(fault) => Ok(Found::Fault(fault)),
        Ok(Some(digest)) if digest == expected => Ok(Found::Nothing),
        Ok(Some(_)) => Ok(match first_difference(log, walk).await? {
            Some(fault) => Found::Fault(fault),
            None if goes_on(log, walk.tail.slot.shard, derived.through).await? => Found::Unsettled,
            None => Found::Fault(Fault {
                position: walk.head(),
                reason: "there are derived rows that nothing in the log leads to".to_owned(),
            }),
        }),
        Ok(None) => first_difference(log, walk).await.map(Found::from),
    }
}

/// Whether derived rows are being written: they are there before they count.
async fn goes_on(log: &dyn EventLog, shard: Shard, through: u64) -> Result<bool, LogError> {
    let began = tokio::time::Instant::now();
    while log.progress(shard).await?.derived_through == through {
        if began.elapsed() > SETTLED {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(true)
}

/// Looks up every event and command of the log in the derived rows: slow, but it names the place.
async fn first_difference(log: &dyn EventLog, walk: &Walk) -> Result<Option<Fault>, LogError> {
    let shard = walk.tail.slot.shard;
    let mut number = 1;
    while number <= walk.through {
        for bytes in log.read_frames(shard, number, PAGE_FRAMES, PAGE_BYTES).await? {
            if number > walk.through {
                return Ok(None);
            }
            let frame = DecidedFrame::decode(&bytes)
                .map_err(|e| LogError::Corrupt(format!("frame {number} of shard {shard}"), e.to_string()))?;
            for event in &frame.events {
                let found = log.read_stream(&event.stream, event.version - 1, 1).await;
                let reason = match found {
                    Ok(found) if found.first() == Some(&**event) => continue,
                    Ok(_) => {
                        format!("version {} of {} is not in the derived rows", event.version, event.stream)
                    }
                    Err(error) => as_fault(event.position, error)?.reason,
                };
                return Ok(Some(Fault { position: event.position, reason }));
            }
            for (_, command) in frame.repeatable() {
                let position = Position { shard, n: frame.header.first_position };
                let reason = match log.command_result(shard, command.id).await {
                    // An id may be accepted again later; its latest result counts.
                    Ok(Some(found)) if found.frame >= number => continue,
                    Ok(_) => format!("the result of command {} is not in the derived rows", command.id),
                    Err(error) => as_fault(position, error)?.reason,
                };
                return Ok(Some(Fault { position, reason }));
            }
            number += 1;
        }
    }
    Ok(None)
}
