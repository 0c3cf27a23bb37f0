use std::time::Duration;

use domain::ports::log::{EventLog, LogReader};
use domain::position::MAX_SHARDS;
use tempfile::tempdir;

use super::writer::Writer;
use super::*;
use crate::sqlite::checkpointer::Checkpointer;
use crate::sqlite::connection::{Durability, open_writer};
use crate::testing::{Chain, SHARDS, decide, derive, open_log};

/// A writer without its thread, over a store that `SqliteLog` made.
fn writer(dir: &Path) -> (Writer, StoreInfo) {
    let store = open_log(dir).store();
    let conn = open_writer(&dir.join(LOG_FILE), Durability::Fsync).unwrap();
    let checkpointer = Checkpointer::spawn(dir.join(LOG_FILE)).unwrap();
    (Writer::new(dir.join(LOG_FILE), conn, store, checkpointer).unwrap(), store)
}

fn chain(dir: &Path, shard: u16) -> Chain {
    Chain::new(&open_log(dir), Shard(shard))
}

fn sql(dir: &Path, text: &str) {
    rusqlite::Connection::open(dir.join(LOG_FILE)).unwrap().execute_batch(text).unwrap();
}

/// Makes every COMMIT that adds a frame fail: a constraint that is looked at only then.
const BREAK_COMMITS: &str = "
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER break_commits AFTER INSERT ON log BEGIN INSERT INTO child VALUES (1); END;";
const REPAIR_COMMITS: &str = "DROP TRIGGER break_commits; DROP TABLE child; DROP TABLE parent;";

// proves: P3
#[test]
fn a_commit_that_fails_is_unknown_until_identical_bytes_are_sent_again() {
    let dir = tempdir().unwrap();
    let mut frames = chain(dir.path(), 0);
    let (mut writer, _) = writer(dir.path());
    let first = Arc::new(frames.next(1));
    let other = Arc::new(chain(dir.path(), 1).next(1));
    sql(dir.path(), BREAK_COMMITS);
    writer.enforce_foreign_keys();
    let outcomes = writer.decide(&[first.clone(), other.clone()]);
    assert!(outcomes.iter().all(|o| matches!(o, Err(ProposeError::Unknown(_)))), "{outcomes:?}");
    assert!(!writer.is_open(), "the file is opened again before the next batch");

    sql(dir.path(), REPAIR_COMMITS);
    assert_eq!(writer.decide(&[first.clone(), other]), [Ok(Decision::Decided), Ok(Decision::Decided)]);
    assert_eq!(writer.decide(&[first]), [Ok(Decision::Decided)]);
}

// proves: P3
#[test]
fn storage_out_of_reach_leaves_uncertain_slots_unknown_and_others_not_written() {
    let dir = tempdir().unwrap();
    let mut frames = chain(dir.path(), 0);
    let other = Arc::new(chain(dir.path(), 1).next(1));
    let (mut writer, _) = writer(dir.path());
    let (first, second) = (Arc::new(frames.next(1)), Arc::new(frames.next(1)));
    assert_eq!(writer.decide(std::slice::from_ref(&first)), [Ok(Decision::Decided)]);
    sql(dir.path(), BREAK_COMMITS);
    writer.enforce_foreign_keys();
    assert!(matches!(writer.decide(std::slice::from_ref(&second))[0], Err(ProposeError::Unknown(_))));

    // The file can't be opened: neither the decided slot nor the uncertain one may be called not written.
    let (there, away) = (dir.path().join(LOG_FILE), dir.path().join("away"));
    sql(dir.path(), REPAIR_COMMITS);
    std::fs::rename(&there, &away).unwrap();
    std::fs::create_dir(&there).unwrap();
    let outcomes = writer.decide(&[first.clone(), second.clone(), other.clone()]);
    assert!(matches!(outcomes[0], Err(ProposeError::Unknown(_))), "{outcomes:?}");
    assert!(matches!(outcomes[1], Err(ProposeError::Unknown(_))), "{outcomes:?}");
    assert!(matches!(outcomes[2], Err(ProposeError::NotWritten(_))), "{outcomes:?}");

    std::fs::remove_dir(&there).unwrap();
    std::fs::rename(&away, &there).unwrap();
    let outcomes = writer.decide(&[first, second, other]);
    assert!(outcomes.iter().all(|o| *o == Ok(Decision::Decided)), "{outcomes:?}");
}

// proves: P3
#[test]
fn a_statement_that_fails_before_the_commit_leaves_nothing_and_decided_slots_known() {
    let dir = tempdir().unwrap();
    let mut frames = chain(dir.path(), 0);
    let (mut writer, _) = writer(dir.path());
    let (first, second) = (Arc::new(frames.next(1)), Arc::new(frames.next(1)));
    let rival = Arc::new(frames.rival(1, "third"));
    assert_eq!(writer.decide(std::slice::from_ref(&first)), [Ok(Decision::Decided)]);
    sql(
        dir.path(),
        "CREATE TRIGGER full BEFORE INSERT ON log WHEN new.slot = 3 BEGIN SELECT RAISE(ABORT, 'disk full'); END;",
    );
    let outcomes = writer.decide(&[first.clone(), second.clone(), rival.clone()]);
    assert_eq!(outcomes[0], Ok(Decision::Decided), "decided before this batch");
    assert!(outcomes[1..].iter().all(|o| matches!(o, Err(ProposeError::NotWritten(_)))), "{outcomes:?}");

    sql(dir.path(), "DROP TRIGGER full");
    assert_eq!(writer.decide(&[second, rival]), [Ok(Decision::Decided), Ok(Decision::Decided)]);
}

// proves: P1, P2
#[test]
fn a_batch_decides_each_slot_once_and_refuses_holes() {
    let dir = tempdir().unwrap();
    let mut frames = chain(dir.path(), 0);
    let (mut writer, _) = writer(dir.path());
    let rival = Arc::new(frames.rival(1, "rival"));
    let (first, second) = (Arc::new(frames.next(2)), Arc::new(frames.next(1)));
    frames.next(1);
    let fourth = Arc::new(frames.next(1));
    let outcomes = writer.decide(&[first.clone(), rival, first.clone(), second, fourth]);
    assert_eq!(outcomes[0], Ok(Decision::Decided));
    assert_eq!(outcomes[1], Ok(Decision::Taken(first.bytes.clone())));
    assert_eq!(outcomes[2], Ok(Decision::Decided));
    assert_eq!(outcomes[3], Ok(Decision::Decided));
    assert!(matches!(outcomes[4], Err(ProposeError::NotWritten(_))), "a hole");
}

#[test]
fn a_store_keeps_its_shards_and_newer_layouts_are_refused() {
    let dir = tempdir().unwrap();
    assert!(matches!(SqliteLog::open_existing(dir.path()), Err(OpenError::Missing { .. })));
    for shards in [0, MAX_SHARDS + 1] {
        assert!(matches!(SqliteLog::open(dir.path(), shards), Err(OpenError::Shards(_))));
    }
    let store = open_log(dir.path()).store();
    let Err(refused) = SqliteLog::open(dir.path(), 8) else {
        panic!("another number of shards was accepted")
    };
    assert!(refused.to_string().contains("was made with 4 shards"), "{refused}");
    assert_eq!(SqliteLog::open_existing(dir.path()).unwrap().store(), store);
    sql(dir.path(), "PRAGMA user_version = 2");
    assert!(matches!(SqliteLog::open(dir.path(), SHARDS), Err(OpenError::Newer { found: 2, .. })));
}

// proves: P5
#[tokio::test]
async fn derived_rows_that_are_missing_or_broken_are_made_anew() {
    let dir = tempdir().unwrap();
    let derived = dir.path().join(DERIVED_FILE);
    let log = open_log(dir.path());
    let mut frames = Chain::new(&log, Shard(1));
    let frame = decide(&log, frames.next(3)).await;
    derive(&log, Shard(1), vec![frame.clone()]).await;
    let digest = log.derived_digest(Shard(1)).await.unwrap();
    drop(log);

    let damages: [&dyn Fn(); 3] = [
        &|| std::fs::remove_file(&derived).unwrap(),
        &|| std::fs::write(&derived, b"this is no database, whatever its name says").unwrap(),
        &|| std::fs::write(dir.path().join("derived.broken"), b"a page").unwrap(),
    ];
    for damage in damages {
        damage();
        let log = open_log(dir.path());
        assert_eq!(log.progress(Shard(1)).await.unwrap(), Progress::default());
        assert!(log.read_stream(&frames.stream, 0, 10).await.unwrap().is_empty());
        derive(&log, Shard(1), vec![frame.clone()]).await;
        assert_eq!(log.derived_digest(Shard(1)).await.unwrap(), digest);
    }
}

// proves: EVT-7
#[tokio::test]
async fn derived_rows_of_another_store_are_refused_by_name_and_left_as_they_are() {
    let (dir, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
    let (ours, theirs) = (open_log(dir.path()).store().id, open_log(elsewhere.path()).store().id);
    let (file, other) = (dir.path().join(DERIVED_FILE), elsewhere.path().join(DERIVED_FILE));
    std::fs::copy(&other, &file).unwrap();
    let Err(refused) = SqliteLog::open(dir.path(), SHARDS) else { panic!("another store's rows were taken") };
    let refused = refused.to_string();
    assert!([ours.to_string(), theirs.to_string()].iter().all(|id| refused.contains(id)), "{refused}");
    assert!(refused.contains(file.to_str().unwrap()), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(&other).unwrap());
    // The way out that it names.
    std::fs::remove_file(&file).unwrap();
    drop(open_log(dir.path()));
}

// proves: EVT-7, P5
#[tokio::test]
async fn derived_rows_of_frames_that_the_log_has_otherwise_are_made_anew() {
    let (dir, older) = (tempdir().unwrap(), tempdir().unwrap());
    let log = open_log(dir.path());
    let mut frames = Chain::new(&log, Shard(1));
    let first = decide(&log, frames.next(3)).await;
    drop(log);
    let other = frames.rival(1, "other");
    std::fs::copy(dir.path().join(LOG_FILE), older.path().join(LOG_FILE)).unwrap();
    let log = open_log(dir.path());
    let lost = decide(&log, frames.next(2)).await;
    derive(&log, Shard(1), vec![first.clone(), lost]).await;
    drop(log);

    // The copy goes on by itself, and then gets the rows of the other one beside it.
    let log = open_log(older.path());
    let other = decide(&log, other).await;
    drop(log);
    std::fs::copy(dir.path().join(DERIVED_FILE), older.path().join(DERIVED_FILE)).unwrap();
    let log = open_log(older.path());
    assert_eq!(log.progress(Shard(1)).await.unwrap(), Progress::default());
    derive(&log, Shard(1), vec![first, other]).await;
    assert!(crate::verify::verify_store(&*log, |_, _| {}).await.unwrap().ok);
}

// proves: EVT-7
#[test]
fn a_log_that_is_gone_is_no_new_store_while_its_derived_rows_are_there() {
    let dir = tempdir().unwrap();
    drop(open_log(dir.path()));
    let (log, derived) = (dir.path().join(LOG_FILE), dir.path().join(DERIVED_FILE));
    let rows = std::fs::read(&derived).unwrap();
    for lose in [|file: &Path| std::fs::remove_file(file), |file: &Path| std::fs::write(file, b"")] {
        lose(&log).unwrap();
        let refused = SqliteLog::open(dir.path(), SHARDS);
        assert!(matches!(refused, Err(OpenError::LogLost { .. })));
        assert_eq!(std::fs::read(&derived).unwrap(), rows);
        assert!(std::fs::metadata(&log).is_ok_and(|file| file.len() == 0) || !log.exists());
    }
    std::fs::remove_file(&derived).unwrap();
    drop(open_log(dir.path()));
}

#[tokio::test]
async fn a_log_that_lost_its_tail_is_refused_with_the_first_position_that_is_missing() {
    let dir = tempdir().unwrap();
    let log = open_log(dir.path());
    let mut frames = Chain::new(&log, Shard(2));
    for _ in 0..2 {
        let frame = decide(&log, frames.next(3)).await;
        derive(&log, Shard(2), vec![frame]).await;
    }
    drop(log);
    sql(dir.path(), "DELETE FROM log WHERE slot = 2 << 48 | 2");
    let Err(refused) = SqliteLog::open(dir.path(), SHARDS) else { panic!("a cut log was opened") };
    assert!(refused.to_string().starts_with("2:4: "), "{refused}");
}

// proves: P2
#[tokio::test]
async fn one_writer_serves_many_shards_at_once() {
    let dir = tempdir().unwrap();
    let log = open_log(dir.path());
    let mut callers = tokio::task::JoinSet::new();
    for shard in (0..SHARDS).map(Shard) {
        let log = log.clone();
        callers.spawn(async move {
            let mut frames = Chain::new(&log, shard);
            for _ in 0..50 {
                decide(&log, frames.next(2)).await;
            }
        });
    }
    let all = async {
        while let Some(done) = callers.join_next().await {
            done.unwrap()
        }
    };
    tokio::time::timeout(Duration::from_secs(300), all).await.unwrap();
    for shard in (0..SHARDS).map(Shard) {
        assert_eq!(log.read_frames(shard, 1, 100, usize::MAX).await.unwrap().len(), 50);
        assert_eq!(log.frame_of_position(Position { shard, n: 51 }).await.unwrap(), 26);
    }
}
