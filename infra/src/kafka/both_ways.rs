//! Where the frames of this process's owners go: to Kafka, and to the readers of the same process.

use std::sync::Arc;

use domain::frame::DecidedFrame;
use domain::ports::feed::FanOut;

use super::KafkaPublisher;
use crate::feed::ring::Rings;

/// See the module.
pub struct BothWays {
    publisher: Arc<KafkaPublisher>,
    local: Arc<Rings>,
}

impl BothWays {
    /// To everybody through the publisher, and to the readers of a feed that has the same `local`
    /// ([`KafkaFeed::beside_owners`](super::KafkaFeed::beside_owners)).
    #[must_use]
    pub fn new(publisher: Arc<KafkaPublisher>, local: Arc<Rings>) -> Self {
        Self { publisher, local }
    }
}

impl FanOut for BothWays {
    fn publish(&self, frame: Arc<DecidedFrame>) {
        if self.local.has_readers() {
            self.local.publish(Arc::clone(&frame));
        }
        self.publisher.publish(frame);
    }
}
