//! The data directory of the embedded backends, held by one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::private;

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It can't be made, or its lock file can't be opened: check the path and its permissions.
    #[error("the data directory {} can't be opened: {source}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process holds it.
    #[error(
        "the data directory {} is in use by another tillstream process; stop that process first, or name another \
         directory with --data-dir",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// An open data directory. The exclusive lock is held until the value is dropped or the process ends, however it ends, so
/// a stale lock can't be left behind.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens the directory, making it (mode 0700) when it isn't there. One that others may enter is closed to them, with the files in
    /// it; see `private`.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        let unusable = |source| DataDirError::Unusable { path: path.clone(), source };
        make_private_dir(&path).map_err(unusable)?;
        private::directory(&path).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Opens several directories, each once however often and however it is named.
    ///
    /// # Errors
    /// [`DataDirError`] of the first that can't be opened; the others are let go.
    pub fn open_all(paths: &[&Path]) -> Result<Vec<Self>, DataDirError> {
        let mut held: Vec<Self> = Vec::new();
        for path in paths {
            let real = path.canonicalize().ok();
            // A directory that isn't there yet has no real path, and is nobody else's.
            let is_held = real.is_some() && held.iter().any(|dir| dir.path.canonicalize().ok() == real);
            if !is_held {
                held.push(Self::open(*path)?);
            }
        }
        Ok(held)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opening_is_refused_with_the_directory_and_the_way_out() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        let held = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).unwrap_err().to_string();
        assert!(refused.contains(path.to_str().unwrap()), "{refused}");
        assert!(refused.contains("another tillstream process"), "{refused}");
        drop(held);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn several_are_opened_once_each() {
        let temp = tempfile::tempdir().unwrap();
        let (data, log) = (temp.path().join("data"), temp.path().join("log"));
        let held = DataDir::open_all(&[&data, &log, &temp.path().join("log/../data")]).unwrap();
        assert_eq!(held.len(), 2);
        assert!(DataDir::open(&log).is_err() && DataDir::open(&data).is_err());
    }

    // proves: SEC-6, SEC-8
    #[cfg(unix)]
    #[test]
    fn only_its_user_may_look_inside_whoever_made_it() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let temp = tempfile::tempdir().unwrap();
        let made = DataDir::open(temp.path().join("a/b")).unwrap();
        assert_eq!(mode(made.path()), 0o700);
        let there = temp.path().join("there");
        std::fs::create_dir(&there).unwrap();
        std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o775)).unwrap();
        std::fs::write(there.join("keys.db"), "secret").unwrap();
        std::fs::set_permissions(there.join("keys.db"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let opened = DataDir::open(&there).unwrap();
        assert_eq!((mode(opened.path()), mode(&there.join("keys.db"))), (0o700, 0o600));
    }

    // proves: SEC-6
    #[cfg(unix)]
    #[test]
    fn a_directory_that_is_everybodys_is_refused_and_left_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let shared = temp.path().join("tmp");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).unwrap();
        let refused = DataDir::open(&shared).unwrap_err().to_string();
        assert!(refused.contains("shared"), "{refused}");
        assert_eq!(std::fs::metadata(&shared).unwrap().permissions().mode() & 0o7777, 0o1777);
        assert_eq!(std::fs::read_dir(&shared).unwrap().count(), 0);
    }
}
