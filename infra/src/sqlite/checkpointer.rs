//! Copies a write-ahead log back into its file beside the writer, so that no commit has to wait for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::Connection;

use super::connection::{Durability, open_writer};
use super::thread::Joined;

/// A thread that checkpoints when it is told to. A nudge while it works counts for the next round; it never blocks.
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    _thread: Joined,
}

impl Checkpointer {
    pub(super) fn spawn(file: PathBuf) -> io::Result<Self> {
        let (wake, nudges) = sync_channel(1);
        let thread = Joined::spawn("log-checkpoint", move || {
            let mut conn = None;
            while nudges.recv().is_ok() {
                if let Err(error) = checkpoint(&file, &mut conn) {
                    // The writer's own checkpoint comes in at a longer journal, and reports what is wrong with the disk.
                    tracing::debug!(file = %file.display(), %error, "no checkpoint beside the writer");
                    conn = None;
                }
            }
        })?;
        Ok(Self { wake, _thread: thread })
    }

    /// Asks for a checkpoint.
    pub(super) fn nudge(&self) {
        // Full means that one is asked for already.
        let _ = self.wake.try_send(());
    }
}

fn checkpoint(file: &Path, conn: &mut Option<Connection>) -> rusqlite::Result<()> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(open_writer(file, Durability::Fsync)?),
    };
    // Passive: what a reader or the writer is in the way of is left for the next time.
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
