//! A thread that owns a connection and runs one job after another on it.

use std::io;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Jobs that may wait before a caller has to.
const QUEUE: usize = 256;

/// The thread has ended, which only a panic of one of its jobs makes it do.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the storage thread has stopped")]
pub(super) struct Stopped;

/// The handle of the thread. Dropping it waits for the jobs that were taken and closes the connection.
pub(super) struct DbThread {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl DbThread {
    pub(super) fn spawn(name: &str, mut conn: Connection) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut conn);
            }
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
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
        let jobs = self.jobs.as_ref().ok_or(Stopped)?;
        jobs.send(job).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}

impl Drop for DbThread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a storage thread ended with a panic");
        }
    }
}
