//! Conservation: every copy of the events holds what the log holds, position by position and id by id.
//!
//! A copy may be behind, and may have let old events go (Kafka's retention); between that it must have every event of the log once
//! at its position, or the event is parked. Every projection's checkpoint must come to the log's head. None may hold more than the log:
//! that is what it was made from before the log was put back from an older copy, or another store's.

mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::log::{LogError, LogReader};
use domain::ports::walk::Walk;
use domain::position::{Position, Seen, Shard};
use domain::stream::StreamId;
use futures::stream::StreamExt as _;
use projections::engine::store::StoreError;
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

pub use watch::{Watch, Watched};

use crate::backends::{Backends, Group};
use crate::event_copy::EventCopy;
use crate::feed::find_heads;

/// Above every position; databases count in 64 bits with a sign.
const MAX_POSITION: u64 = i64::MAX as u64;
/// How often copies that are behind are looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConservationError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A copy can't be read.
    #[error("{0}: {1}")]
    Copy(String, StoreError),
}

/// Where a copy differs from the log first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where.
    pub position: Position,
    /// Which copy or projection.
    pub copy: String,
    /// How.
    pub reason: String,
}

/// What a comparison found of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardReport {
    /// The log's last position when the comparison began.
    pub head: Position,
    /// The first difference.
    pub difference: Option<Difference>,
}

/// How much is compared.
#[derive(Debug, Clone, Copy)]
pub enum Depth<'a> {
    /// Every event.
    Everything,
    /// Events after these positions; of a transport only how far it has come.
    Since(&'a Seen),
}

/// The log and all copies.
pub struct Conservation {
    log: Arc<dyn LogReader>,
    groups: Vec<Group>,
    copies: Vec<Arc<dyn EventCopy>>,
}

impl Conservation {
    /// Of these backends; nothing is prepared, and their consumers aren't disturbed.
    ///
    /// # Errors
    /// When a copy can't be opened.
    pub async fn open(backends: &dyn Backends, groups: Vec<Group>) -> anyhow::Result<Self> {
        Ok(Self { log: backends.log(), groups, copies: backends.copies().await? })
    }

    /// Compares shard by shard. Waits for copies that are behind, at most `within`; one that still is then differs where it stands.
    ///
    /// # Errors
    /// [`ConservationError`].
    pub async fn check(
        &self,
        depth: Depth<'_>,
        within: Duration,
    ) -> Result<Vec<ShardReport>, ConservationError> {
        let heads = find_heads(&*self.log).await?;
        let mut behind = self.behind(&heads, within).await?;
        let mut ahead = self.ahead(&heads).await?;
        let mut reports = Vec::new();
        for head in heads {
            let difference = match ahead.remove(&head.shard).or_else(|| behind.remove(&head.shard)) {
                Some(difference) => Some(difference),
                None => self.compare(head, depth).await?,
            };
            reports.push(ShardReport { head, difference });
        }
        Ok(reports)
    }

    /// The positions `events` before each head.
    async fn recent(&self, events: u64) -> Result<Seen, LogError> {
        let mut seen = Seen::none(self.log.store().shards);
        for head in find_heads(&*self.log).await? {
            seen.advance(Position { n: head.n.saturating_sub(events), ..head });
        }
        Ok(seen)
    }

    /// The copies that don't come to the heads in time, one for each shard.
    async fn behind(
        &self,
        heads: &[Position],
        within: Duration,
    ) -> Result<HashMap<Shard, Difference>, ConservationError> {
        let deadline = Instant::now() + within;
        loop {
            let behind = self.behind_now(heads).await?;
            if behind.is_empty() || Instant::now() >= deadline {
                return Ok(behind);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The copies that hold more than the log, one for each shard. The log goes on meanwhile, so it is asked again after a copy was.
    async fn ahead(&self, heads: &[Position]) -> Result<HashMap<Shard, Difference>, ConservationError> {
        let mut reached: Vec<(Position, String)> = Vec::new();
        for copy in &self.copies {
            match copy.projection() {
                None => {
                    let spans = copy.spans().await.map_err(failed(copy.name()))?;
                    let last = spans
                        .into_iter()
                        .map(|(shard, (_, n))| (Position { shard, n }, copy.name().to_owned()));
                    reached.extend(last);
                }
                // Whatever its checkpoint says.
                Some(_) => {
                    for head in heads {
                        let mut surplus = copy.events(head.shard, head.n, MAX_POSITION);
                        if let Some(first) = surplus.next().await {
                            let (n, _) = first.map_err(failed(copy.name()))?;
                            reached.push((Position { shard: head.shard, n }, copy.name().to_owned()));
                        }
                    }
                }
            }
        }
        for group in &self.groups {
            for projection in &group.projections {
                let name = projection.name();
                let seen = group.store.peek(name).await.map_err(failed(name))?.seen;
                reached.extend(seen.positions().map(|last| (last, name.to_owned())));
            }
        }
        let mut ahead = HashMap::new();
        for (position, copy) in reached {
            let Some(head) = heads.iter().find(|head| head.shard == position.shard) else { continue };
            if position.n <= head.n || ahead.contains_key(&position.shard) {
                continue;
            }
            let head = self.log.head(position.shard).await?;
            if position.n > head.n {
                let reason = format!("it holds {position}, and the log ends at {head}");
                let position = Position { n: head.n + 1, ..head };
                ahead.insert(head.shard, Difference { position, copy, reason });
            }
        }
        Ok(ahead)
    }

    async fn behind_now(&self, heads: &[Position]) -> Result<HashMap<Shard, Difference>, ConservationError> {
        let mut behind = HashMap::new();
        let mut note = |head: &Position, copy: &str, last: u64| {
            if last < head.n {
                let position = Position { shard: head.shard, n: last + 1 };
                let reason = format!("it has come to {}:{last} only, and the log to {head}", head.shard);
                behind.entry(head.shard).or_insert(Difference { position, copy: copy.to_owned(), reason });
            }
        };
        for copy in &self.copies {
            if copy.projection().is_none() {
                let spans = copy.spans().await.map_err(failed(copy.name()))?;
                for head in heads {
                    // A partition that was wiped holds nothing, and nothing of it is missing.
                    let Some((_, last)) = spans.get(&head.shard) else { continue };
                    if *last < head.n && !copy.reaches(*head).await.map_err(failed(copy.name()))? {
                        note(head, copy.name(), *last);
                    }
                }
            }
        }
        for group in &self.groups {
            for projection in &group.projections {
                let name = projection.name();
                let seen = group.store.peek(name).await.map_err(failed(name))?.seen;
                heads.iter().for_each(|head| note(head, name, seen.last(head.shard)));
            }
        }
        Ok(behind)
    }

    async fn compare(
        &self,
        head: Position,
        depth: Depth<'_>,
    ) -> Result<Option<Difference>, ConservationError> {
        let after = match depth {
            Depth::Everything => 0,
            Depth::Since(seen) => seen.last(head.shard),
        };
        for copy in &self.copies {
            let (mut after, mut parked) = (after, HashMap::new());
            match (copy.projection(), depth) {
                (Some(projection), _) => parked = self.parked(projection).await?,
                (None, Depth::Since(_)) => continue,
                (None, Depth::Everything) => {
                    let spans = copy.spans().await.map_err(failed(copy.name()))?;
                    let Some((first, _)) = spans.get(&head.shard) else { continue };
                    after = first - 1;
                }
            }
            if let Some(difference) = self.compare_copy(&**copy, head, after, &parked).await? {
                return Ok(Some(difference));
            }
        }
        Ok(None)
    }

    /// The streams that a projection has parked, with the version from which on.
    async fn parked(&self, projection: &'static str) -> Result<HashMap<StreamId, u64>, ConservationError> {
        let group = self.groups.iter().find(|group| group.projections.iter().any(|p| p.name() == projection));
        match group {
            Some(group) => {
                let loaded = group.store.peek(projection).await.map_err(failed(projection))?;
                Ok(loaded.parked.into_iter().collect())
            }
            None => Ok(HashMap::new()),
        }
    }

    async fn compare_copy(
        &self,
        copy: &dyn EventCopy,
        head: Position,
        after: u64,
        parked: &HashMap<StreamId, u64>,
    ) -> Result<Option<Difference>, ConservationError> {
        let shard = head.shard;
        let mut held = copy.events(shard, after, head.n);
        let mut next: Option<(u64, Uuid)> = None;
        let mut walk = Walk::from_position(&*self.log, Position { shard, n: after + 1 }).await?;
        loop {
            let page = walk.page().await?;
            if page.is_empty() {
                return Ok(None);
            }
            for decided in &page {
                for event in decided.events.iter().filter(|event| event.position.n > after) {
                    if event.position.n > head.n {
                        return Ok(None);
                    }
                    while next.is_none_or(|(n, _)| n < event.position.n) {
                        match held.next().await {
                            Some(held) => next = Some(held.map_err(failed(copy.name()))?),
                            None => break,
                        }
                    }
                    let reason = match next.filter(|(n, _)| *n == event.position.n) {
                        Some((_, id)) if id == event.id => continue,
                        Some((_, id)) => format!("it has the event {id} there, and the log {}", event.id),
                        None if parked.get(&event.stream).is_some_and(|from| event.version >= *from) => {
                            continue;
                        }
                        None => format!("it lacks the event {} ({})", event.id, event.event_type),
                    };
                    let copy = copy.name().to_owned();
                    return Ok(Some(Difference { position: event.position, copy, reason }));
                }
            }
        }
    }
}

fn failed(name: &str) -> impl FnOnce(StoreError) -> ConservationError {
    let name = name.to_owned();
    move |error| ConservationError::Copy(name, error)
}
