//! The server's own keys, as files under DIR/keys: made on the first start, readable by their owner only.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use command_api::web::tokens::SigningKeys;
use query_api::CursorKey;

use crate::private;

/// The keys' directory in the data directory.
const DIRECTORY: &str = "keys";

/// The pair that signs access tokens: of `signing-<n>.pem` the one with the highest number; the others' tokens are accepted
/// too. So a key is rotated by adding a file, and retired by removing one.
///
/// # Errors
/// When a file can't be read or written, or is no key.
pub fn signing_keys(data_dir: &Path) -> anyhow::Result<SigningKeys> {
    let dir = directory(data_dir)?;
    let mut numbered: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_prefix("signing-").and_then(|rest| rest.strip_suffix(".pem")) {
            let number = number
                .parse()
                .with_context(|| format!("{}: expected signing-<number>.pem", path.display()))?;
            numbered.push((number, path));
        }
    }
    numbered.sort();
    let Some((_, newest)) = numbered.pop() else {
        let keys = SigningKeys::generate()?;
        write_private(&dir.join("signing-1.pem"), keys.to_pkcs8_pem()?.as_bytes())?;
        return Ok(keys);
    };
    numbered.iter().try_fold(read_pem(&newest)?, |keys, (_, path)| Ok(keys.also_accepting(&read_pem(path)?)))
}

/// The key that cursors are sealed with.
///
/// # Errors
/// When the file can't be read or written, or is no key.
pub fn cursor_key(data_dir: &Path) -> anyhow::Result<CursorKey> {
    let path = directory(data_dir)?.join("cursors.key");
    if !path.exists() {
        let key: [u8; 32] = rand::random();
        write_private(&path, &key)?;
        return Ok(CursorKey::new(key));
    }
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    match <[u8; 32]>::try_from(bytes) {
        Ok(key) => Ok(CursorKey::new(key)),
        Err(_) => bail!("{} is not a key of 32 bytes; remove it to have a new one made", path.display()),
    }
}

fn read_pem(path: &Path) -> anyhow::Result<SigningKeys> {
    let pem = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    SigningKeys::from_pkcs8_pem(&pem).with_context(|| path.display().to_string())
}

fn directory(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = data_dir.join(DIRECTORY);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&dir).with_context(|| dir.display().to_string())?;
    private::directory(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}

/// Writes a file that only its owner may read, whole or not at all: beside its place first, durable, then renamed.
///
/// # Errors
/// When it can't be written.
pub fn write_private(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // A leftover of a crash may have another mode, so it is never written into.
    if beside.exists() {
        std::fs::remove_file(&beside).with_context(|| beside.display().to_string())?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> std::io::Result<()> {
        let mut file = options.open(&beside)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(parent)?.sync_all()
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_private_and_stay() {
        let temp = tempfile::tempdir().unwrap();
        let first = signing_keys(temp.path()).unwrap();
        assert_eq!(signing_keys(temp.path()).unwrap().kid(), first.kid());
        cursor_key(temp.path()).unwrap();
        cursor_key(temp.path()).unwrap();
        #[cfg(unix)]
        for file in ["signing-1.pem", "cursors.key"] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(temp.path().join("keys").join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    // proves: SEC-8
    #[cfg(unix)]
    #[test]
    fn keys_that_others_could_read_are_closed_to_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = tempfile::tempdir().unwrap();
        signing_keys(temp.path()).unwrap();
        let (dir, key) = (temp.path().join("keys"), temp.path().join("keys/signing-1.pem"));
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        signing_keys(temp.path()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&key)), (0o700, 0o600));
    }

    #[test]
    fn the_newest_key_signs_and_the_older_ones_are_accepted() {
        let temp = tempfile::tempdir().unwrap();
        let first = signing_keys(temp.path()).unwrap();
        let second = SigningKeys::generate().unwrap();
        let path = temp.path().join("keys/signing-10.pem");
        write_private(&path, second.to_pkcs8_pem().unwrap().as_bytes()).unwrap();
        let both = signing_keys(temp.path()).unwrap();
        assert_eq!(both.kid(), second.kid());
        assert!(format!("{both:?}").contains(first.kid()));
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let temp = tempfile::tempdir().unwrap();
        signing_keys(temp.path()).unwrap();
        std::fs::write(temp.path().join("keys/signing-1.pem"), "nonsense").unwrap();
        assert!(format!("{:#}", signing_keys(temp.path()).unwrap_err()).contains("signing-1.pem"));
        std::fs::write(temp.path().join("keys/cursors.key"), "short").unwrap();
        assert!(cursor_key(temp.path()).is_err());
    }
}
