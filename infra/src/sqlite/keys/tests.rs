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
