//! Looking up the results of commands. Every command needs one look, and there are many at once under load: those that wait share a read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::command::CommandId;
use domain::ports::log::{CommandResult, LogError};
use domain::position::Shard;
use tokio::sync::oneshot;

use super::reads::{self, ReadPool};

type Answer = Result<Option<CommandResult>, LogError>;

struct Lookup {
    shard: Shard,
    id: CommandId,
    reply: oneshot::Sender<Answer>,
}

/// Lookups that wait for a read to take them along.
#[derive(Default)]
pub(super) struct Lookups(Mutex<Vec<Lookup>>);

impl Lookups {
    /// The stored result of a command.
    pub(super) async fn find(self: &Arc<Self>, reads: &Arc<ReadPool>, shard: Shard, id: CommandId) -> Answer {
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(Lookup { shard, id, reply });
            waiting.len() == 1
        };
        if is_first {
            // A task, since others depend on it, and this caller may go away.
            tokio::spawn(Arc::clone(self).read(Arc::clone(reads)));
        }
        answer.await.map_err(|_| LogError::Unavailable("a lookup was given up".to_owned()))?
    }

    /// Reads for everybody who waits when the read begins.
    async fn read(self: Arc<Self>, reads: Arc<ReadPool>) {
        let (waiting, begun) = (Arc::clone(&self), Arc::new(AtomicBool::new(false)));
        let begins = Arc::clone(&begun);
        let read = reads.run(move |files| {
            begins.store(true, Ordering::Relaxed);
            let mut read = Ok(());
            for Lookup { shard, id, reply } in waiting.take() {
                let found = reads::command_result(files, shard, id);
                // The files are opened anew after an error of any.
                read = read.and(found.as_ref().map(|_| ()).map_err(Clone::clone));
                // A caller that went away doesn't want the answer.
                let _ = reply.send(found);
            }
            read
        });
        // Whoever came since it began has a read of their own.
        if let Err(error) = read.await
            && !begun.load(Ordering::Relaxed)
        {
            for lookup in self.take() {
                let _ = lookup.reply.send(Err(error.clone()));
            }
        }
    }

    fn take(&self) -> Vec<Lookup> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::future::join_all;
    use tempfile::tempdir;

    use super::*;
    use crate::sqlite::log::{DERIVED_FILE, LOG_FILE};
    use crate::testing::{Chain, decide, derive, open_log};

    /// Keeps every connection busy until what it returns is dropped.
    fn occupy(reads: &Arc<ReadPool>) -> Vec<mpsc::Sender<()>> {
        let busy = |_| {
            let (free, wait) = mpsc::channel::<()>();
            let reads = Arc::clone(reads);
            tokio::spawn(async move {
                // Ends when the sender is dropped.
                let _ = reads.run(move |_| Ok(wait.recv().is_ok())).await;
            });
            free
        };
        (0..reads::READERS).map(busy).collect()
    }

    async fn until(what: impl Fn() -> bool) {
        let turns = async {
            while !what() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), turns).await.unwrap();
    }

    // proves: P3
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn lookups_that_wait_share_a_read_and_each_gets_its_own_answer() {
        let dir = tempdir().unwrap();
        let log = open_log(dir.path());
        let mut chain = Chain::new(&log, Shard(0));
        let (mut frames, mut known) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let frame = decide(&log, chain.next(1)).await;
            known.push(frame.commands[0].id);
            frames.push(frame);
        }
        derive(&log, Shard(0), frames).await;
        let reads = Arc::new(ReadPool::new(dir.path().join(LOG_FILE), dir.path().join(DERIVED_FILE)));
        let lookups = Arc::new(Lookups::default());
        let busy = occupy(&reads);
        until(|| reads.begun.load(Ordering::SeqCst) == reads::READERS).await;

        let asked: Vec<CommandId> = known.iter().flat_map(|id| [*id, CommandId::fresh()]).collect();
        let all = asked.clone().into_iter().map(|id| {
            let (lookups, reads) = (Arc::clone(&lookups), Arc::clone(&reads));
            tokio::spawn(async move { lookups.find(&reads, Shard(0), id).await })
        });
        let all: Vec<_> = all.collect();
        until(|| lookups.0.lock().unwrap().len() == asked.len()).await;
        // One of them goes away, perhaps the one that began the read: the others get their answers all the same.
        let mut all = all.into_iter();
        all.next().unwrap().abort();
        drop(busy);
        let found = join_all(all).await.into_iter().map(|found| found.unwrap().unwrap());
        for (id, found) in asked.iter().skip(1).zip(found) {
            assert_eq!(found.map(|result| result.record.id), known.contains(id).then_some(*id));
        }
        assert_eq!(reads.begun.load(Ordering::SeqCst), reads::READERS + 1, "one for all of them");
    }

    // proves: P3
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_read_that_fails_tells_everybody_and_the_next_one_begins_afresh() {
        let dir = tempdir().unwrap();
        let (log_file, derived_file) = (dir.path().join(LOG_FILE), dir.path().join(DERIVED_FILE));
        let reads = Arc::new(ReadPool::new(log_file, derived_file));
        let lookups = Arc::new(Lookups::default());
        let ask = || join_all((0..10).map(|_| lookups.find(&reads, Shard(0), CommandId::fresh())));
        // No file is there yet.
        assert!(ask().await.iter().all(|found| matches!(found, Err(LogError::Unavailable(_)))));
        drop(open_log(dir.path()));
        assert!(ask().await.iter().all(|found| *found == Ok(None)));
    }
}
