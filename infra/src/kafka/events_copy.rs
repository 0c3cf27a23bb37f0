//! The topic as a copy of the log's events.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::ports::log::StoreInfo;
use domain::position::{Position, Shard};
use futures::stream::{self, StreamExt as _};
use projections::engine::store::StoreError;

use super::scan::reaches;
use super::{Error, KafkaUrl, heads, scan};
use crate::event_copy::{EventCopy, Events};

/// What the topic retains.
pub struct KafkaEvents {
    url: KafkaUrl,
    store: StoreInfo,
}

impl KafkaEvents {
    /// Of the topic that carries this store's events.
    #[must_use]
    pub fn new(url: &KafkaUrl, store: StoreInfo) -> Self {
        Self { url: url.clone(), store }
    }
}

fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

#[async_trait]
impl EventCopy for KafkaEvents {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn projection(&self) -> Option<&'static str> {
        None
    }

    async fn spans(&self) -> Result<HashMap<Shard, (u64, u64)>, StoreError> {
        let heads = heads(&self.url, self.store).await.map_err(unavailable)?;
        let span = |head: super::PartitionHeads| Some((head.shard, (head.first?.n, head.last?.n)));
        Ok(heads.into_iter().filter_map(span).collect())
    }

    async fn reaches(&self, position: Position) -> Result<bool, StoreError> {
        reaches(&self.url, self.store, position).await.map_err(unavailable)
    }

    fn events(&self, shard: Shard, after: u64, through: u64) -> Events {
        let records = scan(&self.url, self.store, shard, after + 1);
        let records =
            stream::unfold(records, |mut records| async move { Some((records.recv().await?, records)) });
        let events = records.filter_map(move |scanned| async move {
            match scanned {
                Err(error) => Some(Err(unavailable(error))),
                // Not one of this store's: others may write beside it, and it changes nothing.
                Ok(scanned) => match scanned.event {
                    Ok((position, id)) if position.n <= through => Some(Ok((position.n, id))),
                    Ok(_) | Err(_) => None,
                },
            }
        });
        events.boxed()
    }
}
