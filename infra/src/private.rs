//! What is for one user's eyes alone: the data directory, and the files of keys and passwords in it. What is found open to others is
//! closed to them when it is this user's own, and refused when it is somebody else's.

use std::io;
use std::path::Path;

/// Closes a directory to others, with the files in it.
///
/// # Errors
/// When it is shared by design (sticky, like `/tmp`), or it or a file in it is another user's and open to others.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if std::fs::metadata(path)?.permissions().mode() & 0o1000 != 0 {
            let reason = "it is shared by everybody (sticky); name a directory of its own in it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        close(path)?;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                file(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Closes a file to others.
///
/// # Errors
/// When it is another user's and open to others.
pub(crate) fn file(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    close(path)?;
    Ok(())
}

#[cfg(unix)]
fn close(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = match std::fs::metadata(path) {
        Ok(found) => found.permissions().mode() & 0o7777,
        // A file of a database may go at any moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if mode & 0o077 == 0 {
        return Ok(());
    }
    match std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & !0o077)) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), was = %format!("{mode:o}"), "others could read this; they can't any more");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let reason = format!(
                "{} is open to others (mode {mode:o}) and can't be closed to them ({error}): take their rights away with chmod go= \
                 as its owner",
                path.display()
            );
            Err(io::Error::new(error.kind(), reason))
        }
    }
}
