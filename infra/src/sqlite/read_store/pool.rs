//! A few read-only connections, used on blocking threads in short transactions.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use projections::engine::store::StoreError;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::unavailable;
use crate::sqlite::connection::open_reader;

/// Reads that run at the same time; more would only wait for the same disk and processors.
const READERS: usize = 4;

pub(super) struct ReadPool {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl ReadPool {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::new(Vec::new()), permits: Arc::new(Semaphore::new(READERS)) }
    }

    /// Runs a read in one snapshot once a connection is free.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = |e: &dyn std::error::Error| StoreError::Unavailable(format!("a read was given up: {e}"));
        let permit = self.permits.clone().acquire_owned().await.map_err(|e| gone(&e))?;
        let pool = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let answer = pool.take().and_then(|conn| {
                let snapshot = conn.unchecked_transaction()?;
                let answer = read(&snapshot)?;
                snapshot.finish()?;
                Ok((conn, answer))
            });
            drop(permit);
            // A connection that met an error is not used again: the next one starts afresh.
            let (conn, answer) = answer.map_err(unavailable)?;
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            Ok(answer)
        });
        task.await.map_err(|e| gone(&e))?
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(
            || {
                let conn = open_reader(&self.file)?;
                conn.set_prepared_statement_cache_capacity(64);
                Ok(conn)
            },
            Ok,
        )
    }
}
