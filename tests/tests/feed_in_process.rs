//! The in-process feed passes the contract of the feed.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::feed::{FanOut, Feed};
use domain::ports::log::EventLog;
use infra::feed::InProcessFeed;
use tests::contract::feed::{FeedBackend, FeedFactory};

struct InProcess(Arc<InProcessFeed>);

#[async_trait]
impl FeedBackend for InProcess {
    fn fan_out(&self) -> Arc<dyn FanOut> {
        self.0.clone()
    }

    fn feed(&self) -> Arc<dyn Feed> {
        self.0.clone()
    }

    async fn stop(self: Box<Self>) {}
}

struct Factory;

#[async_trait]
impl FeedFactory for Factory {
    async fn start(&self, log: Arc<dyn EventLog>) -> Box<dyn FeedBackend> {
        Box::new(InProcess(Arc::new(InProcessFeed::open(log).await.unwrap())))
    }
}

tests::feed_contract!(Factory);
