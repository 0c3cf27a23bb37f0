//! The feed contract over Kafka, and what only Kafka can do to it.

mod consumers;
mod origin;
mod publishers;
mod topic;
mod world;

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::feed::{FanOut, Feed};
use domain::ports::log::EventLog;
use tests::contract::feed::{FeedBackend, FeedFactory};

use self::world::World;

#[async_trait]
impl FeedBackend for World {
    fn fan_out(&self) -> Arc<dyn FanOut> {
        self.fan_out.clone()
    }

    fn feed(&self) -> Arc<dyn Feed> {
        self.feed.clone()
    }

    async fn stop(self: Box<Self>) {
        self.end().await;
    }
}

struct Factory;

#[async_trait]
impl FeedFactory for Factory {
    async fn start(&self, log: Arc<dyn EventLog>) -> Box<dyn FeedBackend> {
        Box::new(World::start(log).await)
    }
}

tests::feed_contract!(Factory);

/// A process that owns the shards itself: its readers need Kafka for nothing.
mod beside_owners {
    use super::*;

    struct Factory;

    #[async_trait]
    impl FeedFactory for Factory {
        async fn start(&self, log: Arc<dyn EventLog>) -> Box<dyn FeedBackend> {
            Box::new(World::beside_owners(log).await)
        }
    }

    tests::feed_contract!(Factory);
}
