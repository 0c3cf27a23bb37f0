//! Full-text search on tantivy, an index in the data directory's `search`.
//!
//! What is applied is not yet visible: a commit makes it so, and its payload is the checkpoint, so documents and checkpoint are
//! stored together. An index that is missing, broken or of another shape is made anew and filled from the log. Documents that
//! can't be applied are parked in the read models' database.

mod document;
mod index;
mod page;
mod query;
mod row;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::merkle::Hash;
use domain::stream::StreamId;
use projections::model::Projection;
use projections::read_models::{Page, ProductFilter, ProductSearch, ProductSort, ReadError, SearchHits};
use projections::store::{Batch, DeadLetter, DeadLetters, Loaded, Redrive, RowStore, StoreError, Visibility};

use self::index::{Open, Stamp};

/// The directory's name in the data directory.
pub const SEARCH_DIR: &str = "search";

/// The search index of products.
pub struct TantivySearch {
    shared: Arc<Shared>,
    letters: Arc<dyn DeadLetters>,
}

struct Shared {
    dir: PathBuf,
    /// `None` until prepared, and after a failure, until it is loaded again. Locked on blocking threads only.
    open: Mutex<Option<Open>>,
    /// What queries read; outlives failures of the writer.
    reader: Mutex<Option<::tantivy::IndexReader>>,
}

impl TantivySearch {
    /// A search index in `dir/search`; nothing is opened before [`RowStore::prepare`]. Its dead letters go to `letters`.
    #[must_use]
    pub fn new(dir: &Path, letters: Arc<dyn DeadLetters>) -> Self {
        Self::in_directory(dir.join(SEARCH_DIR), letters)
    }

    /// The same in a directory of any name.
    #[must_use]
    pub fn in_directory(dir: PathBuf, letters: Arc<dyn DeadLetters>) -> Self {
        let shared = Shared { dir, open: Mutex::new(None), reader: Mutex::new(None) };
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

    /// Opens the index if there is one that fits.
    async fn open_existing(&self, stamp: Stamp, shards: u16) -> Result<bool, StoreError> {
        self.replace(move |dir| Ok(Open::fitting(dir, stamp, shards))).await
    }

    async fn create(&self, stamp: Stamp, shards: u16) -> Result<(), StoreError> {
        self.replace(move |dir| Open::create(dir, stamp, shards).map(Some)).await.map(|_| ())
    }

    /// Closes what is open and opens something else; whether there is one.
    async fn replace(
        &self,
        open: impl FnOnce(&Path) -> Result<Option<Open>, StoreError> + Send + 'static,
    ) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let mut guard = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            // The old writer's lock on the directory goes first.
            *guard = None;
            *guard = open(&shared.dir)?;
            let reader = guard.as_ref().map(Open::reader);
            *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = reader;
            Ok(guard.is_some())
        });
        task.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }

    /// Opens the index again after a failure.
    async fn reopen(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let mut guard = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            if guard.is_none() {
                let open = Open::existing(&shared.dir).map_err(index::unavailable)?;
                *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.reader());
                *guard = Some(open);
            }
            Ok(())
        });
        task.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }
}

#[async_trait]
impl ProductSearch for TantivySearch {
    async fn search(
        &self,
        tenant: &str,
        text: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<SearchHits, ReadError> {
        let reader = self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reader =
            reader.ok_or_else(|| ReadError::Unavailable("the search index is not open".to_owned()))?;
        let plan = query::plan(tenant, text, filter, sort, page)?;
        let task = tokio::task::spawn_blocking(move || page::run(&reader.searcher(), &plan));
        let answer = task.await.map_err(|e| ReadError::Unavailable(e.to_string()))?;
        answer.map_err(|e| ReadError::Unavailable(format!("search: {e}")))
    }
}

#[async_trait]
impl RowStore for TantivySearch {
    async fn prepare(&self, projections: &[Arc<dyn Projection>], shards: u16) -> Result<(), StoreError> {
        let [projection] = projections else {
            return Err(StoreError::Unavailable("a search index holds exactly one projection".to_owned()));
        };
        let stamp = Stamp { version: projection.version(), letters: self.letters.id().await? };
        if self.open_existing(stamp, shards).await? {
            return Ok(());
        }
        // Letters first: were they left behind by a crash, they would stand for events of the index before.
        self.letters.clear(projection.name()).await?;
        self.create(stamp, shards).await
    }

    async fn load(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        self.reopen().await?;
        let seen = self.with_open(|open| Ok(open.applied().clone())).await?;
        let (parked, letters) = self.letters.parked(projection).await?;
        Ok(Loaded { seen, parked, letters })
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
    /// Every document by (tenant, product id), with its digest: for comparing two indexes.
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
