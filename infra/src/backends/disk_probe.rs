//! Whether the data directory can be written to, found by writing to it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long the answer of a write probe is taken as still true.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Probes one directory, at most once a second however often it is asked.
pub(super) struct DiskProbe {
    file: PathBuf,
    probing: AtomicBool,
    last: Mutex<(Option<Instant>, Option<String>)>,
}

impl DiskProbe {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { file: data_dir.join(".probe"), probing: AtomicBool::new(false), last: Mutex::default() }
    }

    /// Why the directory can't be written.
    pub(super) async fn fault(&self) -> Option<String> {
        let (at, fault) = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fresh = at.is_some_and(|at| at.elapsed() < PROBE_EVERY);
        // One probe at a time; whoever asks meanwhile gets the answer before.
        if fresh || self.probing.swap(true, Ordering::AcqRel) {
            return fault;
        }
        let file = self.file.clone();
        let probe = move || std::fs::write(&file, [0; 4096]).and_then(|()| std::fs::remove_file(&file));
        let fault = match tokio::task::spawn_blocking(probe).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the data directory can't be written: {error}")),
            Err(error) => Some(format!("the data directory can't be probed: {error}")),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (Some(Instant::now()), fault.clone());
        self.probing.store(false, Ordering::Release);
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_that_is_gone_is_a_fault_and_one_that_is_back_is_none() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let probe = DiskProbe::new(&dir);
        assert!(probe.fault().await.is_some_and(|fault| fault.contains("can't be written")));
        std::fs::create_dir(&dir).unwrap();
        *probe.last.lock().unwrap() = (None, None);
        assert_eq!(probe.fault().await, None);
        assert!(!dir.join(".probe").exists());
    }
}
