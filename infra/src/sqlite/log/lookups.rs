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
