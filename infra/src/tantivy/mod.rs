//! Full-text search on tantivy: each index that queries ask is a directory beside the read models, called as its projection.
//!
//! What is applied is not yet visible: a commit makes it so, and its payload is the checkpoint, so documents and checkpoint are
//! stored together. An index that is missing, broken or of another shape is made anew and filled from the log. Documents that
//! can't be applied are parked in the read models' database.

mod fields;
mod index;
mod page;
mod query;
mod views;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use domain::merkle::Hash;
use domain::ports::log::StoreInfo;
use domain::stream::StreamId;
use projections::engine::index::{AskedBy, SearchIndex};
use projections::engine::mark::Mark;
use projections::engine::model::Projection;
use projections::engine::read_models::ReadError;
use projections::engine::search::{Found, Search, TextSearch};
use projections::engine::store::{
    Batch, DeadLetter, DeadLetters, Loaded, Redrive, RowStore, StoreError, Visibility,
};
use tokio_util::sync::CancellationToken;

use self::fields::Fields;
use self::index::{Open, Stamp};
use self::page::Failure;
use self::views::Views;
use crate::gate::{self, SearchGate};

/// The projections among these whose indices queries ask, with their indices: only these are made here.
pub(crate) fn searched(
    documents: &[Arc<dyn Projection>],
) -> impl Iterator<Item = (&'static SearchIndex, &Arc<dyn Projection>)> {
    let all = documents.iter().filter_map(|documents| Some((documents.index()?, documents)));
    all.filter(|(index, _)| index.asked_by == AskedBy::Queries)
}

/// The extensions of the directories of an index that is filled beside it, and of the one that it took the place of.
pub(crate) const FRESH: &str = "rebuild";
pub(crate) const OLD: &str = "old";

/// The directories of the indices that are there beside read models, without those that are being built.
pub(crate) fn indices_in(read: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(read).into_iter().flatten().filter_map(Result::ok);
    let dirs = entries.map(|entry| entry.path());
    dirs.filter(|dir| dir.extension().is_none() && dir.join("meta.json").is_file()).collect()
}

/// Refuses indices that were made from another store's log, without touching them. One that can't be read is no concern of this.
///
/// # Errors
/// [`StoreError::OtherLog`].
pub(crate) fn refuse_others(read: &Path, ours: uuid::Uuid) -> Result<(), StoreError> {
    indices_in(read).iter().try_for_each(|dir| index::refuse_other(dir, ours))
}

/// The indices of a process that queries ask.
pub(crate) struct TantivyIndices(pub(crate) Vec<Arc<TantivySearch>>);

#[async_trait]
impl TextSearch for TantivyIndices {
    async fn search(&self, search: &Search) -> Result<Found, ReadError> {
        match self.0.iter().find(|one| one.shared.fields.index == search.index) {
            Some(one) => one.search(search).await,
            None => Err(no_index(search)),
        }
    }
}

fn no_index(search: &Search) -> ReadError {
    ReadError::Unavailable(format!("there is no search index {}", search.index.name))
}

/// A search index.
pub struct TantivySearch {
    shared: Arc<IndexShared>,
    letters: Arc<dyn DeadLetters>,
}

struct IndexShared {
    dir: PathBuf,
    fields: Arc<Fields>,
    /// `None` until prepared, and after a failure, until it is loaded again. Locked on blocking threads only.
    open: Mutex<Option<Open>>,
    /// What queries read; outlives failures of the writer.
    reader: Mutex<Option<::tantivy::IndexReader>>,
    /// The index of another version, or of other fields, that another one is filled beside.
    foreign: Mutex<Option<Foreign>>,
    views: Arc<Views>,
    gate: SearchGate,
}

/// An index that isn't this program's to write.
#[derive(Clone)]
struct Foreign {
    /// And why.
    reason: String,
    /// What it holds.
    mark: Mark,
}

impl TantivySearch {
    /// An index in a directory of its own in `dir`; nothing is opened before [`RowStore::prepare`]. Its dead letters go to `letters`.
    #[must_use]
    pub fn new(index: &'static SearchIndex, dir: &Path, letters: Arc<dyn DeadLetters>) -> Self {
        Self::in_directory(index, dir.join(index.projection), letters)
    }

    /// The same in a directory of any name.
    #[must_use]
    pub fn in_directory(index: &'static SearchIndex, dir: PathBuf, letters: Arc<dyn DeadLetters>) -> Self {
        let shared = IndexShared {
            dir,
            fields: Arc::new(Fields::of(index)),
            open: Mutex::new(None),
            reader: Mutex::new(None),
            foreign: Mutex::new(None),
            views: Views::new(),
            gate: SearchGate::new(),
        };
        Self { shared: Arc::new(shared), letters }
    }

    /// Runs a job on the open index, on a blocking thread. A failed job closes the index: what it holds is read again from the
    /// last commit.
    async fn with_open<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Open) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let mut guard = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            let closed = || StoreError::Unavailable("the search index is closed after a failure".to_owned());
            let answer = job(guard.as_mut().ok_or_else(closed)?);
            if matches!(answer, Err(StoreError::Unavailable(_))) {
                *guard = None;
            }
            answer
        });
        task.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }

    /// Opens the index that is there: to write it, or only to read it. Nothing when there is none, or none that can be used.
    async fn open_existing(&self, stamp: Stamp, log: StoreInfo) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let mut guard = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            // What others have applied through it already, and not committed, must not be dropped.
            if guard.as_ref().is_some_and(|open| open.fits(stamp, log.shards) && open.log() == Some(log.id)) {
                return Ok(true);
            }
            // The old writer's lock on the directory goes first.
            *guard = None;
            settle_swap(&shared.dir)?;
            let (open, foreign) = match Open::existing(&shared.dir, &shared.fields) {
                Ok(open) if open.log().is_some_and(|theirs| theirs != log.id) => {
                    drop(open);
                    return index::refuse_other(&shared.dir, log.id).map(|()| false);
                }
                Ok(mut open) if open.fits(stamp, log.shards) => {
                    open.bind(log.id)?;
                    (Some(open), None)
                }
                Ok(open) => {
                    let foreign = Foreign { reason: open.foreign(stamp), mark: open.mark() };
                    // Its writer ends here; readers go on.
                    *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.reader());
                    (None, Some(foreign))
                }
                Err(error) => {
                    if shared.dir.exists() {
                        tracing::warn!(dir = %shared.dir.display(), %error, "the search index can't be used");
                    }
                    // Of other fields: nobody here can read it, and nobody shall read the new one before it has caught up.
                    let other = index::has_other_fields(&shared.dir, &shared.fields).then(|| Foreign {
                        reason: "the search index has other fields; another one is being filled".to_owned(),
                        mark: Mark::none(log.shards),
                    });
                    (None, other)
                }
            };
            if let Some(open) = &open {
                *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.reader());
            }
            let found = open.is_some() || foreign.is_some();
            *guard = open;
            *shared.foreign.lock().unwrap_or_else(PoisonError::into_inner) = foreign;
            Ok(found)
        });
        task.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }

    fn foreign(&self) -> Option<Foreign> {
        self.shared.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether another index is to be filled beside this one.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign().is_some()
    }

    /// An index of the same that is filled beside this one; its directory is emptied.
    pub(crate) fn beside(&self, letters: Arc<dyn DeadLetters>) -> std::io::Result<Self> {
        let dir = self.shared.dir.with_extension(FRESH);
        remove_dir(&dir)?;
        Ok(Self::in_directory(self.shared.fields.index, dir, letters))
    }

    /// Puts the index that was filled, and closed, in the place of this one. Searches that run read the old one to their end.
    pub(crate) async fn take_over(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let mut guard = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            *guard = None;
            let old = shared.dir.with_extension(OLD);
            remove_dir(&old).map_err(index::unavailable)?;
            std::fs::rename(&shared.dir, &old).map_err(index::unavailable)?;
            settle_swap(&shared.dir)?;
            let open = Open::existing(&shared.dir, &shared.fields).map_err(index::unavailable)?;
            *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.reader());
            *guard = Some(open);
            *shared.foreign.lock().unwrap_or_else(PoisonError::into_inner) = None;
            Ok(())
        });
        task.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }

    async fn create(&self, stamp: Stamp, log: StoreInfo) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let mut guard = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            *guard = None;
            let open = Open::create(&shared.dir, &shared.fields, stamp, log.shards, Some(log.id))?;
            *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.reader());
            *guard = Some(open);
            Ok(())
        });
        task.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }

    /// Opens the index again after a failure.
    async fn reopen(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let mut guard = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            if guard.is_none() {
                let open = Open::existing(&shared.dir, &shared.fields).map_err(index::unavailable)?;
                *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.reader());
                *guard = Some(open);
            }
            Ok(())
        });
        task.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }
}

/// Ends what a crash left half done: once the old index was moved away, the new one has taken its place.
fn settle_swap(dir: &Path) -> Result<(), StoreError> {
    let (fresh, old) = (dir.with_extension(FRESH), dir.with_extension(OLD));
    if !dir.exists() && old.exists() && fresh.exists() {
        std::fs::rename(&fresh, dir).map_err(index::unavailable)?;
    }
    if dir.exists() { remove_dir(&old).map_err(index::unavailable) } else { Ok(()) }
}

/// Removes a directory that may be there.
pub(crate) fn remove_dir(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[async_trait]
impl TextSearch for TantivySearch {
    async fn search(&self, search: &Search) -> Result<Found, ReadError> {
        let fields = Arc::clone(&self.shared.fields);
        if fields.index != search.index {
            return Err(no_index(search));
        }
        let mut plan = query::plan(&fields, search)?;
        let turn = self.shared.gate.enter().await?;
        let kept = plan.wanted.view.as_deref().map(|name| self.shared.views.get(name));
        let searcher = match kept {
            Some(Some(searcher)) => searcher,
            gone => {
                if gone.is_some() {
                    plan.wanted = plan.wanted.without_view()?;
                }
                let reader = self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let closed = || match self.is_foreign() {
                    true => ReadError::NotLive { model: search.index.projection },
                    false => ReadError::Unavailable("the search index is not open".to_owned()),
                };
                reader.ok_or_else(closed)?.searcher()
            }
        };
        // Cancelled when the client leaves and this future is dropped: a blocking thread goes on otherwise.
        let wanted = CancellationToken::new();
        let _left = wanted.clone().drop_guard();
        let until = Instant::now() + gate::TIME;
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let found =
                page::run(&searcher, &fields, &plan, &|| wanted.is_cancelled() || Instant::now() > until);
            found.map(|(found, end)| (found, end, searcher))
        });
        let answer = task.await.map_err(|e| ReadError::Unavailable(e.to_string()))?;
        let (mut found, end, searcher) = answer.map_err(|failure| match failure {
            Failure::Stopped => ReadError::Overloaded,
            Failure::Index(error) => ReadError::Unavailable(format!("search: {error}")),
        })?;
        found.next = end.map(|end| search.cursor(&self.shared.views.keep(&searcher), &end));
        Ok(found)
    }
}

#[async_trait]
impl RowStore for TantivySearch {
    async fn prepare(&self, projections: &[Arc<dyn Projection>], log: StoreInfo) -> Result<(), StoreError> {
        let [projection] = projections else {
            return Err(StoreError::Unavailable("a search index holds exactly one projection".to_owned()));
        };
        let stamp = Stamp { version: projection.version(), letters: self.letters.id().await? };
        if self.open_existing(stamp, log).await? {
            return Ok(());
        }
        // Letters first: were they left behind by a crash, they would stand for events of the index before.
        self.letters.clear(projection.name()).await?;
        self.create(stamp, log).await
    }

    async fn renew(&self, projection: &Arc<dyn Projection>, found: &Loaded) -> Result<(), StoreError> {
        let name = projection.name();
        let (seen, marks, log) =
            self.with_open(|open| Ok((open.mark().seen, open.marks(), open.log()))).await?;
        if seen != found.seen || marks != found.marks {
            return Err(StoreError::Moved(name.to_owned()));
        }
        let stamp = Stamp { version: projection.version(), letters: self.letters.id().await? };
        let shards = u16::try_from(seen.positions().count()).unwrap_or(u16::MAX);
        self.letters.clear(name).await?;
        self.create(stamp, StoreInfo { id: log.unwrap_or_default(), shards }).await
    }

    async fn load(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        if let Some(Foreign { reason, mark }) = self.foreign() {
            let (parked, letters) = self.letters.parked(projection).await?;
            let Mark { generation, seen } = mark;
            return Ok(Loaded {
                generation,
                seen,
                foreign: Some(reason),
                parked,
                letters,
                marks: Vec::new(),
            });
        }
        self.reopen().await?;
        let (mark, marks) = self.with_open(|open| Ok((open.mark(), open.marks()))).await?;
        let (parked, letters) = self.letters.parked(projection).await?;
        let Mark { generation, seen } = mark;
        Ok(Loaded { generation, seen, foreign: None, parked, letters, marks })
    }

    async fn apply(&self, mut batch: Batch) -> Result<Visibility, StoreError> {
        for part in &mut batch.parts {
            let letters = std::mem::take(&mut part.letters);
            if !letters.is_empty() {
                self.letters.park(part.projection, letters).await?;
            }
        }
        self.with_open(move |open| open.apply(&batch)).await
    }

    async fn publish(&self) -> Result<(), StoreError> {
        // Nothing is applied to an index of another version.
        if self.is_foreign() {
            return Ok(());
        }
        self.with_open(|open| open.commit()).await
    }

    async fn letters(
        &self,
        projection: &'static str,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.letters.oldest(projection, stream, limit).await
    }

    async fn redrive(&self, step: Redrive) -> Result<(), StoreError> {
        // Documents first: a crash in between only applies them again, which their versions make harmless.
        let changes = step.changes;
        self.with_open(move |open| {
            open.change(&changes)?;
            open.commit()
        })
        .await?;
        self.letters.settle(step.projection, step.letters).await
    }

    async fn digest(&self, _projection: &Arc<dyn Projection>) -> Result<Hash, StoreError> {
        self.with_open(|open| {
            open.commit()?;
            open.digest()
        })
        .await
    }
}

impl TantivySearch {
    /// Every document by id, with its digest: for comparing two indexes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn document_digests(
        &self,
    ) -> Result<std::collections::BTreeMap<String, Hash>, StoreError> {
        self.with_open(|open| {
            open.commit()?;
            open.document_digests()
        })
        .await
    }

    /// Closes the index, so that its directory can be moved to where `letters` are its dead letters.
    pub(crate) async fn close(&self, letters: &dyn DeadLetters) -> Result<(), StoreError> {
        let id = letters.id().await?;
        self.with_open(move |open| open.restamp(id)).await?;
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = None;
            *shared.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
        });
        task.await.map_err(|e| StoreError::Unavailable(e.to_string()))
    }
}
