//! Verifying a store (P8): first the log, from its bytes alone, then the derived rows, which auditors read.
//!
//! Of the log: every frame's place, links, hashes and contents ([`domain::verify`]), that the versions of every stream are
//! 1, 2, 3, … in order, and that times never decrease. For the versions it keeps about 50 bytes for each stream of one shard at a time.
//!
//! What is verified is fixed when a verification begins: the frames that are decided by then, and the rows of frames that are derived by
//! then. So it ends however much is written meanwhile. A complete one begins with the first frame, and compares digests of all rows, which
//! one scan gives; another goes on from where an earlier one ended ([`Through`]), and looks up what the frames since then lead to.

mod derived;
pub mod jobs;
mod walk;

use domain::Timestamp;
use domain::frame::Tail;
use domain::merkle::Hash;
use domain::ports::log::{EventLog, LogError};
use domain::position::{Position, Shard};
use domain::verify::Fault;
use serde::Serialize;

use self::derived::Derived;
use self::walk::walk;

/// How far a shard holds together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardReport {
    /// The shard.
    pub shard: Shard,
    /// The position of its last event that could be verified; `n` is 0 when it has none.
    pub head: Position,
    /// The hash of the last frame that could be verified, lower-case hex; zeros when it has none.
    #[serde(serialize_with = "hex::serialize")]
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

/// Where a verification of a shard can go on: everything up to here held together, log and derived rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    tail: Tail,
    last_time: Timestamp,
}

impl Through {
    fn start(shard: Shard) -> Self {
        Self { tail: Tail::empty(shard), last_time: Timestamp::MIN_UTC }
    }

    /// The last position that was verified.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { shard: self.tail.slot.shard, n: self.tail.head() }
    }
}

/// A verification that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it found.
    pub report: VerifyReport,
    /// Where the next one can go on; `None` after a fault.
    pub through: Option<Vec<Through>>,
}

/// Verifies every shard of a store from its first frame on, also one that is being written to. `progress` is told the last position
/// verified of a shard, after every page.
///
/// # Errors
/// [`LogError::Unavailable`] when storage can't be read; what is wrong with the contents is in the report.
pub async fn verify_store(
    log: &dyn EventLog,
    progress: impl FnMut(Shard, Position) + Send,
) -> Result<VerifyReport, LogError> {
    Ok(verify(log, None, progress).await?.report)
}

/// Verifies every shard: from its first frame on, or from where an earlier verification ended.
///
/// # Errors
/// [`LogError::Unavailable`] when storage can't be read; what is wrong with the contents is in the report.
pub async fn verify(
    log: &dyn EventLog,
    from: Option<&[Through]>,
    mut progress: impl FnMut(Shard, Position) + Send,
) -> Result<Verified, LogError> {
    let all: Vec<Shard> = (0..log.store().shards).map(Shard).collect();
    // Rows first: what they were made of is in the log by then.
    let derived = match from {
        None => Derived::scanned(log, &all).await?,
        Some(_) => Derived::to_look_up(log, &all).await?,
    };
    let mut ends = Vec::with_capacity(all.len());
    for shard in &all {
        ends.push(walk::last_frame(log, *shard).await?);
    }
    let (mut shards, mut throughs, mut first) = (Vec::new(), Vec::new(), None::<Fault>);
    for (n, shard) in all.into_iter().enumerate() {
        let start = from.and_then(|from| from.get(n).cloned()).unwrap_or_else(|| Through::start(shard));
        let ended = walk(log, start, ends[n], &derived, &mut progress).await?;
        let Tail { slot, previous, .. } = &ended.tail;
        shards.push(ShardReport {
            shard: slot.shard,
            head: Position { shard, n: ended.tail.head() },
            hash: *previous,
        });
        throughs.push(ended.through);
        first = first.or(ended.fault);
    }
    let (first_fault, fault_reason) = first.map(|fault| (fault.position, fault.reason)).unzip();
    let ok = first_fault.is_none();
    Ok(Verified {
        report: VerifyReport { ok, shards, first_fault, fault_reason },
        through: ok.then_some(throughs),
    })
}

/// What is wrong with the contents is a fault at `position`; that storage can't be read is not.
fn as_fault(position: Position, error: LogError) -> Result<Fault, LogError> {
    match error {
        LogError::Corrupt(..) => Ok(Fault { position, reason: error.to_string() }),
        LogError::Unavailable(_) => Err(error),
    }
}
