//! Which generation each projection writes to.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use domain::ports::log::LogError;
use domain::position::Seen;
use projections::engine::index::SearchIndex;
use projections::engine::store::StoreError;

use super::ElasticsearchStore;
use crate::elasticsearch::checkpoints;
use crate::elasticsearch::generations::{Generation, IndexPlace, Stamp, writes};
use crate::elasticsearch::parts::Older;
use crate::feed::find_heads;

/// How long another process that makes an index is waited for: longer than it takes to be taken for dead.
const WAIT: Duration = Duration::from_secs(75);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A prepared projection.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) kind: &'static SearchIndex,
    pub(super) stamp: Stamp,
    /// What it writes to.
    pub(super) generation: String,
    /// The generation's newest part.
    pub(super) part: String,
    /// What the older parts hold.
    pub(super) older: Option<Older>,
    /// When the part's size was asked for.
    pub(super) sized: Option<Instant>,
    /// The positions applied, as far as known here.
    pub(super) applied: Seen,
    /// A generation in place of a lost one: nobody reads it before these positions are applied.
    pub(super) filling: Option<Seen>,
    /// Why the live generation is programs' of another version to write.
    pub(super) foreign: Option<String>,
    /// Whether something was written since the last refresh.
    pending: bool,
}

impl Open {
    /// The alias that it writes through.
    pub(super) fn alias(&self) -> String {
        writes(&self.part)
    }

    /// Has it write to a generation as it is now.
    pub(super) fn writes_to(&mut self, generation: &Generation) {
        self.generation.clone_from(&generation.name);
        self.part = generation.newest().to_owned();
        self.older.clone_from(&generation.older);
    }
}

impl ElasticsearchStore {
    /// Finds the index of a projection, or makes one when there is none or one that doesn't fit.
    pub(super) async fn prepare_one(
        &self,
        kind: &'static SearchIndex,
        stamp: Stamp,
    ) -> Result<(), StoreError> {
        if self.beside {
            if self.opened(kind.projection).is_err() {
                let generation = self.make_anew(kind, &stamp).await?;
                self.set_open(kind, stamp, generation);
            }
            return Ok(());
        }
        let until = Instant::now() + WAIT;
        let Prepared { generation, filling, foreign } = loop {
            match self.find_or_make(kind, &stamp).await? {
                Some(prepared) => break prepared,
                None if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                None => {
                    let reason =
                        format!("another process doesn't get on with making the index of {}", kind.name);
                    return Err(StoreError::Unavailable(reason));
                }
            }
        };
        self.set_open(kind, stamp, generation);
        let found = self.as_it_is(&self.opened(kind.projection)?).await?;
        self.update(kind, |open| {
            found.iter().for_each(|found| open.writes_to(found));
            (open.filling, open.foreign) = (filling, foreign);
        });
        Ok(())
    }

    /// What a projection writes to; `None` while another process is making it.
    async fn find_or_make(
        &self,
        kind: &'static SearchIndex,
        stamp: &Stamp,
    ) -> Result<Option<Prepared>, StoreError> {
        match self.place(kind).live().await? {
            // Of whatever version: what doesn't fit is replaced when another one has been filled beside it.
            Some(live) => {
                if let Some(ours) = stamp.log {
                    live.belongs_to(ours)?;
                }
                let foreign = live.foreign(stamp);
                Ok(Some(Prepared { generation: live.name, filling: None, foreign }))
            }
            None => self.replace_missing(kind, stamp).await,
        }
    }

    /// Has a projection write to a generation.
    pub(super) fn set_open(&self, kind: &'static SearchIndex, stamp: Stamp, generation: String) {
        // What a crash left unrefreshed is shown by the first refresh.
        let applied = Seen::none(stamp.shards);
        let (part, older, sized) = (generation.clone(), None, None);
        let open = Open {
            kind,
            stamp,
            generation,
            part,
            older,
            sized,
            applied,
            filling: None,
            foreign: None,
            pending: true,
        };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(kind.projection, open);
    }

    /// No index is live: none was ever made, or it was lost while nobody wrote to it. In a store with events the new one holds what
    /// the log has now before anybody reads it.
    async fn replace_missing(
        &self,
        kind: &'static SearchIndex,
        stamp: &Stamp,
    ) -> Result<Option<Prepared>, StoreError> {
        let place = self.place(kind);
        if let Some(filled) = place.filling(stamp).await? {
            return Ok(adopted(filled, Seen::none(stamp.shards)));
        }
        let unread = |error: LogError| StoreError::Unavailable(format!("the log's heads: {error}"));
        let heads = find_heads(self.log.as_ref()).await.map_err(unread)?;
        if heads.iter().all(|head| head.n == 0) {
            let generation = self.make_anew(kind, stamp).await?;
            return Ok(Some(Prepared { generation, filling: None, foreign: None }));
        }
        let held = Seen::up_to(&heads);
        tracing::warn!(projection = kind.projection, "there is no search index; building one from the log");
        Ok(adopted(self.fill(place, stamp, &held).await?, held))
    }

    pub(super) async fn make_anew(
        &self,
        kind: &'static SearchIndex,
        stamp: &Stamp,
    ) -> Result<String, StoreError> {
        // Letters first: were they left behind by a crash, they would stand for events of the index before.
        self.letters.clear(kind.projection).await?;
        let place = self.place(kind);
        let made = if self.beside { place.create(stamp).await } else { place.renew(stamp).await }?;
        tracing::info!(index = made, "made a search index");
        Ok(made)
    }

    /// The generation that a prepared projection writes to.
    pub(in crate::elasticsearch) fn generation(&self, projection: &str) -> Result<String, StoreError> {
        Ok(self.opened(projection)?.generation)
    }

    /// A prepared projection as it is known here.
    pub(super) fn opened(&self, projection: &str) -> Result<Open, StoreError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || StoreError::Unavailable(format!("the search index of {projection} is not prepared"));
        open.get(projection).cloned().ok_or_else(unknown)
    }

    /// The same, looked up again: the index may have been replaced, or be gone; then a new one is made.
    pub(super) async fn reopen(&self, projection: &str) -> Result<Open, StoreError> {
        let mut open = self.opened(projection)?;
        if self.beside {
            return Ok(open);
        }
        match self.place(open.kind).live().await? {
            Some(live) => {
                open.foreign = live.foreign(&open.stamp);
                (open.generation, open.filling) = (live.name, None);
            }
            None => {
                open.foreign = None;
                self.recover(&mut open).await?;
            }
        }
        let mut found = self.as_it_is(&open).await?;
        if found.as_ref().is_some_and(|found| found.has_next && open.foreign.is_none()) {
            // Whoever began to make the next part may have died after closing the one before.
            self.try_to_roll_over(&open).await?;
            found = self.as_it_is(&open).await?;
        }
        if let Some(found) = found {
            open.writes_to(&found);
        }
        open.pending = open.foreign.is_none();
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(open.kind.projection, open.clone());
        Ok(open)
    }

    /// No index is live: only the alias is gone, or the index too, or the new one is still being filled.
    async fn recover(&self, open: &mut Open) -> Result<(), StoreError> {
        let place = self.place(open.kind);
        let all = place.list().await?;
        let mine = all.iter().find(|generation| generation.name == open.generation && generation.writable);
        if mine.is_some_and(|mine| mine.filling.is_none()) {
            tracing::warn!(
                index = open.generation,
                "the alias of the search index was gone; it is there again"
            );
            return Ok(place.go_live(&open.generation, &all).await?);
        }
        let lost = open.filling.take().unwrap_or_else(|| open.applied.clone());
        let filled = match place.filling(&open.stamp).await? {
            Some(filled) => filled,
            None => {
                tracing::warn!(
                    index = open.generation,
                    "the search index is gone; building it anew from the log"
                );
                self.fill(place, &open.stamp, &lost).await?
            }
        };
        let being_made = || StoreError::Unavailable("another process is making the index".to_owned());
        let prepared = adopted(filled, lost).ok_or_else(being_made)?;
        (open.generation, open.filling) = (prepared.generation, prepared.filling);
        Ok(())
    }

    /// Makes a generation in place of the lost one, unless another process does.
    async fn fill(
        &self,
        place: IndexPlace<'_>,
        stamp: &Stamp,
        lost: &Seen,
    ) -> Result<Generation, StoreError> {
        let made = place.create_filling(stamp, lost).await?;
        let gone = || StoreError::Unavailable(format!("{made} is not needed any more"));
        let filled = place.filling(stamp).await?.ok_or_else(gone)?;
        if filled.name != made {
            place.remove(std::slice::from_ref(&made)).await?;
            return Ok(filled);
        }
        // Before anybody can write to it: letters left from the lost index would stand for events that this one has to have, and
        // those parked from here on must stay.
        self.letters.clear(place.kind.projection).await?;
        place.make_writable(&made).await?;
        Ok(Generation { writable: true, ..filled })
    }

    /// Whether a generation holds what the lost one held; other processes fill it too.
    pub(super) async fn is_full(&self, open: &Open) -> Result<bool, StoreError> {
        let Some(lost) = &open.filling else { return Ok(false) };
        let applied = checkpoints::applied(&self.client, &open.alias(), open.stamp.shards).await?;
        Ok(lost.positions().all(|p| applied.last(p.shard) >= p.n))
    }

    /// Has readers find a generation that holds again what was lost.
    pub(super) async fn show_filled(&self, open: &Open) -> Result<(), StoreError> {
        let place = self.place(open.kind);
        match place.live().await? {
            // Another process that fills the same was faster.
            Some(live) if live.name == open.generation => {}
            // Its index is the one from now on.
            Some(_) => return Err(StoreError::Moved(open.kind.projection.to_owned())),
            None => {
                place.go_live(&open.generation, &place.list().await?).await?;
                tracing::info!(index = open.generation, "the search index is whole again");
            }
        }
        self.update(open.kind, |open| open.filling = None);
        Ok(())
    }

    /// Changes what is known of a projection.
    pub(super) fn update(&self, kind: &SearchIndex, change: impl FnOnce(&mut Open)) {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get_mut(kind.projection) {
            change(open);
        }
    }

    /// Something was written that a refresh would show.
    pub(super) fn set_pending(&self, kind: &SearchIndex) {
        self.update(kind, |open| open.pending = true);
    }

    /// The projections with something to refresh, or all; they count as refreshed from here on.
    pub(super) fn take_pending(&self, everything: bool) -> Vec<Open> {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = all.values_mut().filter(|open| open.foreign.is_none());
        let due = ours.filter(|open| everything || open.pending || open.filling.is_some());
        due.map(|open| {
            open.pending = false;
            open.clone()
        })
        .collect()
    }

    /// All prepared projections.
    pub(super) fn all_opened(&self) -> Vec<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// What a prepared projection writes to.
struct Prepared {
    generation: String,
    /// See [`Open::filling`].
    filling: Option<Seen>,
    /// See [`Open::foreign`].
    foreign: Option<String>,
}

/// Goes on with a generation that any process made in place of the lost one. `None` while it is being made: soon that is done, or
/// whoever made it has died, and it is made again.
fn adopted(filled: Generation, lost: Seen) -> Option<Prepared> {
    if !filled.writable {
        return None;
    }
    let mut target = lost;
    filled.filling.iter().for_each(|held| raise(&mut target, held));
    Some(Prepared { generation: filled.name, filling: Some(target), foreign: None })
}

/// Takes the later of both positions, shard by shard.
pub(super) fn raise(seen: &mut Seen, other: &Seen) {
    let later: Vec<_> = other.positions().filter(|p| p.n > seen.last(p.shard)).collect();
    later.into_iter().for_each(|position| seen.advance(position));
}
