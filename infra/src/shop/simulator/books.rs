//! The thread that keeps the books: whatever waits is written together, with one wait for the disk.

use std::io;
use std::sync::Arc;

use domain::ports::clock::Clock;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use sagas::fulfilment::ports::ProviderError;
use tokio::sync::{mpsc, oneshot};

use super::{Failure, SIMULATOR_FILE};
use crate::sqlite::thread::Joined;

/// Calls that may wait before a caller has to; as many are written together at most.
const QUEUE: usize = 256;

/// Tells the caller, once it is known whether the books hold what the job did.
type Answer = Box<dyn FnOnce(Result<(), ProviderError>) + Send>;
type Job = Box<dyn FnOnce(&mut Transaction<'_>, i64) -> Answer + Send>;

/// Dropping it waits for the calls that were taken.
pub(super) struct Books {
    jobs: mpsc::Sender<Job>,
    _thread: Joined,
}

impl Books {
    pub(super) fn open(mut conn: Connection, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let thread = Joined::spawn("simulator", move || {
            let mut waiting = Vec::with_capacity(QUEUE);
            while queue.blocking_recv_many(&mut waiting, QUEUE) > 0 {
                together(&mut conn, &*clock, waiting.drain(..));
            }
        })?;
        Ok(Self { jobs, _thread: thread })
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, i64) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |tx, now| {
            let done = alone(tx, |conn| job(conn, now));
            // A caller that went away doesn't want the answer.
            Box::new(move |kept| drop(reply.send(kept.and(done))))
        });
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Runs a job so that one that fails leaves nothing in the others' transaction.
fn alone<T>(
    tx: &mut Transaction<'_>,
    job: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, ProviderError> {
    let run = || {
        let savepoint = tx.savepoint()?;
        let done = job(&savepoint);
        // What is refused for good stays in the books too. Else the savepoint is rolled back when it goes.
        if matches!(done, Ok(_) | Err(Failure(ProviderError::Refused(_)))) {
            savepoint.commit()?;
        }
        done
    };
    run().map_err(|Failure(error)| error)
}

/// Runs what waits in one transaction, and tells everybody what came of it.
fn together(conn: &mut Connection, clock: &dyn Clock, waiting: impl Iterator<Item = Job>) {
    let mut answers: Vec<Answer> = Vec::new();
    let committed = (|| {
        let mut tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = clock.now().timestamp_micros();
        answers.extend(waiting.map(|job| job(&mut tx, now)));
        tx.commit()
    })();
    // Whoever's job didn't run sees its answer dropped.
    let kept = committed.map_err(|error| Failure::from(error).0);
    answers.into_iter().for_each(|answer| answer(kept.clone()));
}

fn stopped() -> ProviderError {
    ProviderError::Unavailable(format!("{SIMULATOR_FILE}: the books can't be written now"))
}
