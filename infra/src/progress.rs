//! How far the projections have come, as one process knows it.

use std::sync::Arc;
use std::time::Duration;

use domain::position::{Position, SyncToken};
use projections::engine::follower::Follower;
use projections::engine::runner::Runner;
use projections::engine::status::{ProjectionStatus, State};
use projections::engine::watermark::Watermark;

/// Projections that run here, and those that are followed. Where several processes share the work only the followed ones' checkpoints
/// tell of all shards, so they come first.
#[derive(Clone, Default)]
pub struct Progress {
    runners: Vec<Arc<Runner>>,
    followers: Vec<Arc<Follower>>,
}

impl Progress {
    /// Of these runners and followers.
    #[must_use]
    pub fn new(runners: Vec<Arc<Runner>>, followers: Vec<Arc<Follower>>) -> Self {
        Self { runners, followers }
    }

    /// How far queries can see.
    #[must_use]
    pub fn watermarks(&self) -> Vec<Watermark> {
        if self.followers.is_empty() {
            return self.runners.iter().flat_map(|runner| runner.watermarks().to_vec()).collect();
        }
        self.followers.iter().flat_map(|follower| follower.watermarks()).collect()
    }

    /// Waits until queries see these heads, at most for `within`: a projection that fails must not hold up who waits.
    pub async fn catch_up(&self, heads: Vec<Position>, within: Duration) {
        let mut token = SyncToken::default();
        heads.into_iter().filter(|head| head.n > 0).for_each(|head| token.add(head));
        let marks = self.watermarks();
        let waits = futures::future::join_all(marks.iter().map(|mark| mark.wait_for(&token, within)));
        for behind in waits.await.into_iter().filter_map(Result::err) {
            tracing::info!(%behind, "a projection goes on after the next start");
        }
    }

    /// The status of every projection against the log's heads. One that fails here says so, however far the others are.
    pub async fn status(&self, heads: &[Position]) -> Vec<ProjectionStatus> {
        let own: Vec<ProjectionStatus> = self.runners.iter().flat_map(|runner| runner.status()).collect();
        if self.followers.is_empty() {
            return own;
        }
        let mut all = Vec::new();
        for follower in &self.followers {
            all.extend(follower.status(heads).await);
        }
        for status in &mut all {
            if let Some(own) = own.iter().find(|own| own.name == status.name && own.state != State::Running) {
                status.state = own.state.clone();
            }
        }
        all
    }

    /// Waits until the followers have ended, which they do on shutdown.
    pub async fn stopped(&self) {
        for follower in &self.followers {
            follower.stopped().await;
        }
    }
}
