use domain::personal::ERASED;
use proptest::prelude::*;

use super::*;

fn subject(id: &str) -> StreamId {
    StreamId::new("default", "user", id)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Whether any file of the directory holds the bytes.
fn found_on_disk(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

fn raw_key(dir: &Path, subject: &StreamId) -> Vec<u8> {
    let conn = rusqlite::Connection::open(dir.join(KEYS_FILE)).unwrap();
    conn.query_row(include_str!("select_key.sql"), [subject.to_string()], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_was_sealed_opens_again_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let keys = SqliteKeys::open(dir.path()).unwrap();
    let sealed = keys.seal(&subject("a"), &["Ada", "ada@example.org"]).await.unwrap();
    assert!(sealed.iter().all(|s| s.as_text().starts_with("v1.") && !s.as_text().contains("Ada")));
    let blind = keys.blind("ada@example.org");
    drop(keys);

    let keys = SqliteKeys::open(dir.path()).unwrap();
    let opened = keys.open(&subject("a"), &sealed.iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(opened, ["Ada", "ada@example.org"]);
    assert_eq!(keys.blind("ada@example.org"), blind);
    assert_ne!(keys.blind("ada@example.com"), blind);
    assert_eq!(blind.len(), 64);
}

// proves: SEC-6
#[tokio::test]
async fn a_destroyed_key_is_in_no_file_and_never_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let keys = SqliteKeys::open(dir.path()).unwrap();
    // Neighbours on the same pages, before and after.
    for id in ["a", "c", "d"] {
        keys.seal(&subject(id), &["x"]).await.unwrap();
    }
    let erased = subject("b");
    let sealed = keys.seal(&erased, &["Bob"]).await.unwrap();
    let key = raw_key(dir.path(), &erased);
    assert!(found_on_disk(dir.path(), &key), "the search finds a key that is there");

    keys.destroy(&erased).await.unwrap();
    assert!(!found_on_disk(dir.path(), &key));
    assert_eq!(keys.open(&erased, &[&sealed[0]]).await.unwrap(), [ERASED]);
    assert_eq!(keys.seal(&erased, &["Bob"]).await, Err(KeyError::Erased));
    keys.destroy(&erased).await.unwrap();
    drop(keys);

    let keys = SqliteKeys::open(dir.path()).unwrap();
    assert!(!found_on_disk(dir.path(), &key));
    assert_eq!(keys.open(&erased, &[&sealed[0]]).await.unwrap(), [ERASED]);
    assert_eq!(keys.seal(&erased, &["Bob"]).await, Err(KeyError::Erased));
    keys.seal(&subject("a"), &["x"]).await.unwrap();
}

#[test]
fn keys_that_are_gone_are_not_made_anew_for_a_log_with_events() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(KEYS_FILE);
    let missing = || matches!(SqliteKeys::open_existing(dir.path()), Err(OpenKeysError::Missing { .. }));
    assert!(missing() && !file.exists());
    std::fs::write(&file, []).unwrap();
    assert!(missing(), "an empty file");
    let blind = SqliteKeys::open(dir.path()).unwrap().blind("x");
    assert_eq!(SqliteKeys::open_existing(dir.path()).unwrap().blind("x"), blind);
}

#[tokio::test]
async fn values_that_were_changed_or_moved_are_broken() {
    let dir = tempfile::tempdir().unwrap();
    let keys = SqliteKeys::open(dir.path()).unwrap();
    let (a, b) = (subject("a"), subject("b"));
    let sealed = keys.seal(&a, &["Ada"]).await.unwrap().remove(0);
    keys.seal(&b, &["Bob"]).await.unwrap();
    assert_eq!(keys.open(&b, &[&sealed]).await, Err(KeyError::Broken), "another subject's");
    let text = sealed.as_text();
    for at in PREFIX_LEN..text.len() {
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = Sealed::from_text(format!("{}{other}{}", &text[..at], &text[at + 1..]));
        assert_eq!(keys.open(&a, &[&changed]).await, Err(KeyError::Broken), "character {at}");
    }
    for text in ["", "v1.", "v2.AAAA", "v1.AAAA", "Ada"] {
        let sealed = Sealed::from_text(text.to_owned());
        assert_eq!(keys.open(&a, &[&sealed]).await, Err(KeyError::Broken), "{text}");
    }
}
const PREFIX_LEN: usize = "v1.".len();

#[tokio::test]
async fn a_value_of_a_subject_that_never_had_a_key_reads_as_erased() {
    let dir = tempfile::tempdir().unwrap();
    let keys = SqliteKeys::open(dir.path()).unwrap();
    let sealed = Sealed::from_text("v1.AAAA".to_owned());
    assert_eq!(keys.open(&subject("nobody"), &[&sealed]).await.unwrap(), [ERASED]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // proves: SEC-6
    #[test]
    fn any_values_survive_the_round_trip_until_the_key_is_destroyed(
        values in proptest::collection::vec(".{0,200}", 1..5),
        id in "[a-z0-9-]{1,36}",
    ) {
        let dir = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let keys = SqliteKeys::open(dir.path()).unwrap();
            let subject = subject(&id);
            let texts: Vec<&str> = values.iter().map(String::as_str).collect();
            let sealed = keys.seal(&subject, &texts).await.unwrap();
            let again = keys.seal(&subject, &texts).await.unwrap();
            let refs: Vec<&Sealed> = sealed.iter().collect();
            assert_eq!(keys.open(&subject, &refs).await.unwrap(), values);
            assert!(sealed.iter().zip(&again).all(|(a, b)| a != b), "a nonce was used twice");
            keys.destroy(&subject).await.unwrap();
            assert!(keys.open(&subject, &refs).await.unwrap().iter().all(|value| value == ERASED));
        });
    }
}
