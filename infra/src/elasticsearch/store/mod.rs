//! The store of documents and their checkpoints.

mod apply;
mod lost;
mod open;
mod parts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ::elasticsearch::http::Method;
use async_trait::async_trait;
use domain::merkle::Hash;
use domain::ports::log::{LogReader, StoreInfo};
use domain::position::Seen;
use domain::stream::StreamId;
use futures::future::try_join_all;
use projections::engine::index::SearchIndex;
use projections::engine::mark::Generation;
use projections::engine::model::Projection;
use projections::engine::store::{
    Batch, DeadLetter, DeadLetters, Loaded, Redrive, RowStore, StoreError, Visibility,
};

use self::open::Open;
use super::client::{Answer, Client};
use super::generations::{self, IndexPlace, Stamp};
use super::mapping::{index_of, indices};
use super::parts::Large;
use super::url::ElasticsearchUrl;
use super::{checkpoints, scan};

/// Documents and checkpoints of projections. Dead letters go to a database beside it.
pub struct ElasticsearchStore {
    client: Client,
    url: ElasticsearchUrl,
    indices: Vec<&'static SearchIndex>,
    letters: Arc<dyn DeadLetters>,
    /// Its heads say what an index must hold that takes the place of a lost one.
    log: Arc<dyn LogReader>,
    /// By projection; all that were prepared.
    open: Mutex<BTreeMap<&'static str, Open>>,
    /// Whether it builds generations beside the live ones.
    beside: bool,
    /// When another part takes over.
    large: Large,
}

impl ElasticsearchStore {
    /// A store of the live indices of these projections; nothing is asked before [`RowStore::prepare`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no client can be made for the URL.
    pub fn new(
        url: &ElasticsearchUrl,
        documents: &[Arc<dyn Projection>],
        letters: Arc<dyn DeadLetters>,
        log: Arc<dyn LogReader>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            client: Client::new(url)?,
            url: url.clone(),
            indices: indices(documents).collect(),
            letters,
            log,
            open: Mutex::default(),
            beside: false,
            large: Large::default(),
        })
    }

    /// The same, with another size at which an index that only grows gets another part; its size is asked for at every refresh.
    #[must_use]
    pub fn with_large_parts(self, bytes: u64) -> Self {
        Self { large: Large { bytes, look_every: std::time::Duration::ZERO }, ..self }
    }

    /// A store of new generations that nobody reads yet.
    pub(super) fn beside(
        url: &ElasticsearchUrl,
        documents: &[Arc<dyn Projection>],
        letters: Arc<dyn DeadLetters>,
        log: Arc<dyn LogReader>,
    ) -> Result<Self, StoreError> {
        Ok(Self { beside: true, ..Self::new(url, documents, letters, log)? })
    }

    /// A store of a generation that is there and writable but not live.
    pub(super) fn at(
        url: &ElasticsearchUrl,
        projection: &Arc<dyn Projection>,
        letters: Arc<dyn DeadLetters>,
        log: Arc<dyn LogReader>,
        stamp: Stamp,
        generation: &generations::Generation,
    ) -> Result<Self, StoreError> {
        let store = Self::beside(url, std::slice::from_ref(projection), letters, log)?;
        let kind = index_of(projection)?;
        store.set_open(kind, stamp, generation.name.clone());
        store.update(kind, |open| open.writes_to(generation));
        Ok(store)
    }

    fn place(&self, kind: &'static SearchIndex) -> IndexPlace<'_> {
        IndexPlace { client: &self.client, url: &self.url, kind }
    }

    /// Refreshes the indices that have something to show, or all.
    async fn refresh(&self, all: bool) -> Result<(), StoreError> {
        let due = Due { store: self, open: self.take_pending(all) };
        let refreshed = due.open.iter().map(|open| async move {
            let path = format!("/{}/_refresh", open.alias());
            self.client.ask(Method::Post, &path).await.and_then(Answer::ok)?;
            self.roll_over(open).await;
            // Perhaps to another part.
            let open = &self.opened(open.kind.projection)?;
            if self.is_full(open).await? { self.show_filled(open).await } else { Ok(()) }
        });
        try_join_all(refreshed).await?;
        due.done();
        Ok(())
    }
}

/// Indices that are being refreshed. Unless that is done they have something to show again, also when nobody waits for it any more.
struct Due<'a> {
    store: &'a ElasticsearchStore,
    open: Vec<Open>,
}

impl Due<'_> {
    fn done(mut self) {
        self.open.clear();
    }
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        self.open.iter().for_each(|open| self.store.set_pending(open.kind));
    }
}

#[async_trait]
impl RowStore for ElasticsearchStore {
    async fn prepare(&self, projections: &[Arc<dyn Projection>], log: StoreInfo) -> Result<(), StoreError> {
        let letters = self.letters.id().await?;
        for projection in projections {
            let kind = index_of(projection)?;
            self.prepare_one(kind, Stamp::new(kind, projection.version(), letters, log)).await?;
        }
        Ok(())
    }

    async fn renew(&self, projection: &Arc<dyn Projection>, found: &Loaded) -> Result<(), StoreError> {
        let name = projection.name();
        if self.beside {
            let gone = format!("what the index of {name} was built from is not in the log any more");
            return Err(StoreError::Unavailable(gone));
        }
        let open = self.reopen(name).await?;
        let (seen, marks) = checkpoints::stood(&self.client, &open.alias(), open.stamp.shards).await?;
        if seen != found.seen || marks != found.marks {
            return Err(StoreError::Moved(name.to_owned()));
        }
        let generation = self.make_anew(open.kind, &open.stamp).await?;
        self.set_open(open.kind, open.stamp, generation);
        Ok(())
    }

    async fn load(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        let open = self.reopen(projection).await?;
        let name = if open.foreign.is_some() { open.part.clone() } else { open.alias() };
        let (seen, marks) = checkpoints::stood(&self.client, &name, open.stamp.shards).await?;
        self.update(open.kind, |open| open.applied = seen.clone());
        let (parked, letters) = self.letters.parked(projection).await?;
        let generation = Generation::named(&open.generation);
        Ok(Loaded { generation, seen, foreign: open.foreign, parked, letters, marks })
    }

    async fn peek(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        let kind = self.indices.iter().copied().find(|kind| kind.projection == projection);
        let kind = kind
            .ok_or_else(|| StoreError::Unavailable(format!("there is no search index for {projection}")))?;
        let all = self.place(kind).list().await?;
        let (generation, (seen, marks)) = match all.iter().find(|generation| generation.live) {
            Some(live) => {
                let shards = live.stamp.as_ref().map_or(0, |stamp| stamp.shards);
                let stood = checkpoints::stood(&self.client, live.newest(), shards).await?;
                (Generation::named(&live.name), stood)
            }
            None if all.iter().any(|generation| generation.filling.is_some()) => {
                let reason = format!("the search index of {projection} is being built anew");
                return Err(StoreError::Unavailable(reason));
            }
            None => (Generation::none(), (Seen::none(0), Vec::new())),
        };
        let (parked, letters) = self.letters.parked(projection).await?;
        Ok(Loaded { generation, seen, foreign: None, parked, letters, marks })
    }

    async fn apply(&self, batch: Batch) -> Result<Visibility, StoreError> {
        self.apply_batch(batch).await
    }

    async fn publish(&self) -> Result<(), StoreError> {
        self.refresh(false).await
    }

    async fn lost(&self) {
        self.watch().await;
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
        self.write_changes(step.projection, &step.changes).await?;
        self.refresh(false).await?;
        self.letters.settle(step.projection, step.letters).await
    }

    async fn digest(&self, projection: &Arc<dyn Projection>) -> Result<Hash, StoreError> {
        self.refresh(true).await?;
        let open = self.opened(projection.name())?;
        scan::digest(&self.client, open.kind, &open.generation).await
    }
}
