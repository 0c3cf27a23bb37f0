//! Directories that a configuration names, checked before anything is made in them.

use std::path::Path;

use super::{Config, ConfigError, LogUrl, ReadUrl};

/// What file systems commonly take: bytes of one name, and of a whole path with the longest of our own names below it.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4096 - 256;

impl Config {
    /// Refuses directories that no file system can hold. Every other name is taken as it is.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`] with the key.
    pub(super) fn check_directories(&self) -> Result<(), ConfigError> {
        let mut named = vec![("data.dir", self.data.dir.as_path())];
        if let LogUrl::Sqlite(directory) = &self.log.url {
            named.extend(directory.named().map(|path| ("log.url", path)));
        }
        if let ReadUrl::Sqlite(directory) = &self.read.url {
            named.extend(directory.named().map(|path| ("read.url", path)));
        }
        named.extend(
            self.simulators().into_iter().filter_map(|(key, directory)| Some((key, directory?.named()?))),
        );
        named.into_iter().try_for_each(|(key, path)| match why_not(path) {
            Some(reason) => Err(ConfigError::Conflict(format!("{key} names no directory: {reason}"))),
            None => Ok(()),
        })
    }
}

fn why_not(path: &Path) -> Option<&'static str> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() {
        return Some("it is empty");
    }
    if bytes.contains(&0) {
        return Some("it holds a NUL");
    }
    if bytes.len() > LONGEST_PATH {
        return Some("it is too long");
    }
    path.components()
        .any(|part| part.as_os_str().as_encoded_bytes().len() > LONGEST_NAME)
        .then_some("a name in it is longer than 255 bytes")
}
