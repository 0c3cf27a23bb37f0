//! Finding the last record of partitions; who asks at the same time is answered by one connection.

use std::sync::Arc;

use domain::position::Shard;
use tokio::sync::{mpsc, oneshot};

use super::PublisherShared;
use crate::kafka::client::blocking;
use crate::kafka::scan::last_positions;
use crate::kafka::{Error, topic};

/// At most so many shards are looked at together.
const TOGETHER: usize = 256;

type Answer = Result<Option<u64>, Error>;

pub(super) struct Question {
    shard: Shard,
    answer: oneshot::Sender<Answer>,
}

/// Asks for the last positions in the topic.
pub(super) struct Tails(mpsc::Sender<Question>);

impl Tails {
    pub(super) fn new() -> (Self, mpsc::Receiver<Question>) {
        let (sender, receiver) = mpsc::channel(TOGETHER);
        (Self(sender), receiver)
    }

    /// The position of the last record in the shard's partition; `None` when it is empty. A topic that is missing is made.
    pub(super) async fn last(&self, shard: Shard) -> Answer {
        let ended = || Error::Unavailable("the publisher ends".to_owned());
        let (answer, answered) = oneshot::channel();
        self.0.send(Question { shard, answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

pub(super) async fn serve(shared: Arc<PublisherShared>, mut asked: mpsc::Receiver<Question>) {
    loop {
        let mut questions = Vec::new();
        tokio::select! {
            () = shared.end.cancelled() => return,
            _ = asked.recv_many(&mut questions, TOGETHER) => {}
        }
        let shards: Vec<Shard> = questions.iter().map(|question| question.shard).collect();
        let (url, store) = (shared.url.clone(), shared.store);
        let look = move || {
            let (url, shards) = (url.clone(), shards.clone());
            blocking(move || last_positions(&url, store, &shards))
        };
        let found = match look().await {
            Err(Error::NoTopic(_)) => match topic::migrate(&shared.url, store.shards).await {
                Ok(()) => look().await,
                Err(error) => Err(error),
            },
            found => found,
        };
        for Question { shard, answer } in questions {
            let last = found.as_ref().map(|last| last.get(&shard).copied()).map_err(Clone::clone);
            // The shard's task has ended meanwhile.
            let _ = answer.send(last);
        }
    }
}
