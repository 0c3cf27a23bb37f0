//! How far searches can see, for processes that don't write the indices.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::elasticsearch::http::Method;
use async_trait::async_trait;
use domain::position::Seen;
use projections::engine::follower::{Checkpoints, Pace, Parked, Visible};
use projections::engine::index::{AskedBy, SearchIndex};
use projections::engine::mark::{Generation, Mark};
use projections::engine::model::Projection;
use projections::engine::store::{DeadLetters, StoreError};

use super::checkpoints;
use super::client::{Answer, Client, Failure};
use super::generations::IndexPlace;
use super::mapping::{Mapped as _, indices};
use super::url::ElasticsearchUrl;

/// How often it looks while a query waits: what was applied is visible within this time, a read and a refresh.
const AWAITED: Duration = Duration::from_millis(40);
/// How often it looks otherwise.
const IDLE: Duration = Duration::from_secs(1);

/// The checkpoints in the live indices. Where more was applied than is visible it refreshes the index: often while a query waits, now
/// and then otherwise.
pub struct ElasticsearchCheckpoints {
    client: Client,
    url: ElasticsearchUrl,
    indices: Vec<&'static SearchIndex>,
    letters: Option<Arc<dyn DeadLetters>>,
    shards: u16,
    known: Mutex<BTreeMap<&'static str, KnownIndex>>,
}

/// What is known of one live index.
#[derive(Debug, Clone)]
struct KnownIndex {
    generation: Generation,
    /// What to read it by.
    index: String,
    /// Why this program doesn't search it.
    unreadable: Option<String>,
    visible: Seen,
    looked: Option<Instant>,
}

impl KnownIndex {
    fn told(&self, kind: &SearchIndex) -> Visible {
        let mark = Mark { generation: self.generation.clone(), seen: self.visible.clone() };
        Visible { projection: kind.projection.to_owned(), mark, unreadable: self.unreadable.clone() }
    }
}

impl ElasticsearchCheckpoints {
    /// The checkpoints of these projections, in a log of so many shards.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no client can be made for the URL.
    pub fn new(
        url: &ElasticsearchUrl,
        documents: &[Arc<dyn Projection>],
        shards: u16,
    ) -> Result<Self, StoreError> {
        let (client, indices) = (Client::new(url)?, indices(documents).collect());
        Ok(Self { client, url: url.clone(), indices, letters: None, shards, known: Mutex::default() })
    }

    /// Tells what is parked, too.
    #[must_use]
    pub fn with_letters(mut self, letters: Arc<dyn DeadLetters>) -> Self {
        self.letters = Some(letters);
        self
    }

    async fn read(&self, now: bool) -> Result<Vec<Visible>, StoreError> {
        let (mut all, mut failed) = (Vec::new(), None);
        for kind in self.indices.iter().copied() {
            // Only queries wait; what analysts ask is looked at now and then.
            let rarely = now && kind.asked_by != AskedBy::Queries;
            let told = match self.read_one(kind, rarely).await {
                // Replaced, or gone: another look tells.
                Err(Failure::Lost(_)) => {
                    self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(kind.projection);
                    self.read_one(kind, rarely).await
                }
                read => read,
            };
            match told {
                Ok(told) => all.push(told),
                // What can be told of the others is told.
                Err(failure) => {
                    tracing::debug!(index = kind.name, ?failure, "can't tell how far a search index is");
                    failed = Some(failure);
                }
            }
        }
        match failed {
            Some(failure) if all.is_empty() => Err(failure.into()),
            _ => Ok(all),
        }
    }

    /// What is visible for certain in every copy of the index: a refresh tells of all, a search only of the copy that it asks.
    async fn read_one(&self, kind: &'static SearchIndex, rarely: bool) -> Result<Visible, Failure> {
        let mut known = self.known(kind).await?;
        if rarely && known.looked.is_some_and(|at| at.elapsed() < IDLE) {
            return Ok(known.told(kind));
        }
        let applied = checkpoints::applied(&self.client, &known.index, self.shards).await?;
        known.looked = Some(Instant::now());
        // Read before the refresh begins: all of it is visible afterwards.
        if applied != known.visible {
            let path = format!("/{}/_refresh", known.index);
            self.client.ask(Method::Post, &path).await.and_then(Answer::ok)?;
            known.visible = applied;
        }
        let told = known.told(kind);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(kind.projection, known);
        Ok(told)
    }

    async fn known(&self, kind: &'static SearchIndex) -> Result<KnownIndex, Failure> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(kind.projection).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let place = IndexPlace { client: &self.client, url: &self.url, kind };
        let live = place.list().await?.into_iter().find(|generation| generation.live);
        let live = live.ok_or_else(|| Failure::Unavailable(format!("there is no index {}", kind.name)))?;
        if !live.writable && live.held.is_none() {
            return Err(Failure::Unavailable(format!("{} can't be written now", live.name)));
        }
        // A generation loses the alias that it is written through when it is replaced, which is how that is noticed here. Its name
        // stays: by that, the checkpoints of the replaced one would be read for ever.
        let index = live.write_alias();
        let generation = Generation::named(&live.name);
        let definition = live.stamp.as_ref().map(|stamp| stamp.definition.clone());
        let unreadable = (definition != Some(kind.definition_digest()))
            .then(|| format!("{} has other fields than this program's version needs", live.name));
        Ok(KnownIndex { generation, index, unreadable, visible: Seen::none(self.shards), looked: None })
    }
}

#[async_trait]
impl Checkpoints for ElasticsearchCheckpoints {
    async fn visible(&self) -> Result<Vec<Visible>, StoreError> {
        self.read(false).await
    }

    async fn visible_now(&self) -> Result<Vec<Visible>, StoreError> {
        self.read(true).await
    }

    async fn changed(&self) {
        // Elasticsearch tells nobody.
        std::future::pending().await
    }

    fn pace(&self) -> Pace {
        Pace { idle: IDLE, awaited: AWAITED }
    }

    async fn parked(&self) -> Result<Vec<(String, Parked)>, StoreError> {
        let mut all = Vec::new();
        let Some(letters) = &self.letters else { return Ok(all) };
        for kind in self.indices.iter().copied() {
            let (streams, events) = letters.parked(kind.projection).await?;
            all.push((kind.projection.to_owned(), Parked { streams: streams.len() as u64, events }));
        }
        Ok(all)
    }
}
