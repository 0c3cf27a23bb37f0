//! Threads that are waited for, and one that owns a connection and runs one job after another on it.

use std::io;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// A thread that is waited for when its handle goes. It has to end once nothing feeds it any more: what feeds it is declared before this in
/// its owner, since fields go in that order.
pub(crate) struct Joined(Option<JoinHandle<()>>);

impl Joined {
    pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        std::thread::Builder::new().name(name.to_owned()).spawn(work).map(|thread| Self(Some(thread)))
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let Some(thread) = self.0.take() else { return };
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if thread.join().is_err() {
            tracing::error!(name, "a thread ended with a panic");
        }
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Jobs that may wait before a caller has to.
const QUEUE: usize = 256;

/// The thread has ended, which only a panic of one of its jobs makes it do.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the storage thread has stopped")]
pub(super) struct Stopped;

/// The handle of the thread. Dropping it waits for the jobs that were taken and closes the connection.
pub(super) struct DbThread {
    jobs: mpsc::Sender<Job>,
    _thread: Joined,
}

impl DbThread {
    pub(super) fn spawn(name: &str, mut conn: Connection) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let thread = Joined::spawn(name, move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut conn);
            }
        })?;
        Ok(Self { jobs, _thread: thread })
    }

    /// Runs a job on the thread. A job that was taken runs to its end even if the caller stops waiting.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            // A caller that went away doesn't want the answer.
            let _ = reply.send(job(conn));
        });
        self.jobs.send(job).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
