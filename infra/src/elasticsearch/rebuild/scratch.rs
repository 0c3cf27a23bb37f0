//! The dead letters of a generation that is being built: kept in memory until they replace the live ones.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::position::Position;
use domain::stream::StreamId;
use projections::engine::store::{DeadLetter, DeadLetters, StoreError};
use uuid::Uuid;

/// Letters by projection, stream and version. There are few: many of them stop a projection.
type Letters = BTreeMap<(&'static str, String), (StreamId, BTreeMap<u64, DeadLetter>)>;

pub(super) struct ScratchLetters {
    /// Of the letters that these become a part of.
    id: Uuid,
    letters: Mutex<Letters>,
}

impl ScratchLetters {
    pub(super) fn new(id: Uuid) -> Self {
        Self { id, letters: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All letters of a projection, each stream's in order.
    pub(super) fn all(&self, projection: &'static str) -> Vec<DeadLetter> {
        let letters = self.lock();
        let of = letters.iter().filter(|((name, _), _)| *name == projection);
        of.flat_map(|(_, (_, letters))| letters.values().cloned()).collect()
    }

    /// The version of a stream's first letter.
    pub(super) fn first(&self, projection: &'static str, stream: &StreamId) -> Option<u64> {
        self.lock().get(&(projection, stream.to_string()))?.1.keys().next().copied()
    }

    /// How many letters there are.
    pub(super) fn count(&self, projection: &'static str) -> u64 {
        self.all(projection).len() as u64
    }
}

#[async_trait]
impl DeadLetters for ScratchLetters {
    async fn park(&self, projection: &'static str, batch: Vec<DeadLetter>) -> Result<(), StoreError> {
        let mut letters = self.lock();
        for letter in batch {
            let (stream, version) = (letter.event.stream.clone(), letter.event.version);
            let of_stream =
                letters.entry((projection, stream.to_string())).or_insert_with(|| (stream, BTreeMap::new()));
            if letter.follows && of_stream.1.keys().next().is_none_or(|first| *first >= version) {
                return Err(StoreError::Moved(projection.to_owned()));
            }
            of_stream.1.entry(version).or_insert(letter);
        }
        Ok(())
    }

    async fn id(&self) -> Result<Uuid, StoreError> {
        Ok(self.id)
    }

    async fn parked(&self, projection: &'static str) -> Result<(Vec<(StreamId, u64)>, u64), StoreError> {
        let letters = self.lock();
        let of = letters.iter().filter(|((name, _), _)| *name == projection);
        let streams = of.filter_map(|(_, (stream, letters))| Some((stream.clone(), *letters.keys().next()?)));
        let streams = streams.collect();
        drop(letters);
        Ok((streams, self.count(projection)))
    }

    async fn oldest(
        &self,
        projection: &'static str,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let letters = self.lock();
        let of_stream = letters.get(&(projection, stream.to_string()));
        Ok(of_stream.into_iter().flat_map(|(_, letters)| letters.values().take(limit).cloned()).collect())
    }

    async fn settle(&self, projection: &'static str, settled: Vec<Position>) -> Result<(), StoreError> {
        let mut letters = self.lock();
        let of = letters.iter_mut().filter(|((name, _), _)| *name == projection);
        of.for_each(|(_, (_, letters))| {
            letters.retain(|_, letter| !settled.contains(&letter.event.position))
        });
        Ok(())
    }

    async fn clear(&self, projection: &'static str) -> Result<(), StoreError> {
        self.lock().retain(|(name, _), _| *name != projection);
        Ok(())
    }
}
