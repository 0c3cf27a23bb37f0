use domain::ports::clock::SystemClock;

use super::*;
use crate::sqlite::log::SqliteLog;
use crate::testing::{Chain, decide, derive, open_log};

const SHARD: Shard = Shard(1);
const LONG: Duration = Duration::from_secs(60);

/// A store with three derived frames of two events.
async fn store() -> (tempfile::TempDir, Arc<SqliteLog>, Chain) {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path());
    let mut chain = Chain::new(&log, SHARD);
    for _ in 0..3 {
        grow(&log, &mut chain).await;
    }
    (dir, log, chain)
}

async fn grow(log: &SqliteLog, chain: &mut Chain) {
    let frame = decide(log, chain.next(2)).await;
    derive(log, SHARD, vec![frame]).await;
}

fn verifications(log: &Arc<SqliteLog>, small: u64) -> Verifications {
    Verifications::with_small(log.clone(), Arc::new(SystemClock), small)
}

async fn ended(verifications: &Verifications, id: Uuid) -> Job {
    let mut changed = verifications.shared.ended.subscribe();
    loop {
        let job = verifications.job(id).expect("it is remembered");
        if job.outcome != Outcome::Running {
            return job;
        }
        changed.changed().await.unwrap();
    }
}

async fn latest(verifications: &Verifications) -> Arc<VerifyReport> {
    match verifications.latest(LONG).await.unwrap().expect("one has ended").outcome {
        Outcome::Found(report) => report,
        other => panic!("{other:?}"),
    }
}

// proves: P8, AUD-3
#[tokio::test]
async fn a_job_tells_its_progress_and_its_result_and_one_runs_at_a_time() {
    let (_dir, log, _chain) = store().await;
    let verifications = verifications(&log, SMALL);
    let id = verifications.start();
    // On one thread it has not begun yet.
    assert_eq!(verifications.start(), id, "the one that runs");
    assert_eq!(verifications.job(id).map(|job| job.outcome), Some(Outcome::Running));
    let job = ended(&verifications, id).await;
    let Outcome::Found(report) = &job.outcome else { panic!("{job:?}") };
    assert!(report.ok && job.ended_at >= Some(job.started_at));
    let through: Vec<u64> = job.through.iter().map(|through| through.n).collect();
    assert_eq!(through, [0, 6, 0, 0]);
    assert_ne!(verifications.start(), id);
    assert!(verifications.job(Uuid::nil()).is_none());
}

// proves: P8, AUD-3
#[tokio::test]
async fn the_latest_result_covers_what_was_decided_before_it_was_asked_for() {
    let (_dir, log, mut chain) = store().await;
    for small in [SMALL, 0] {
        let verifications = verifications(&log, small);
        for _ in 0..3 {
            let head = latest(&verifications).await.shards[usize::from(SHARD.0)].head;
            assert_eq!(head.n, chain.tail.head());
            grow(&log, &mut chain).await;
        }
        // One that has no time: the last one that ended, which on a quick machine may be the new one all the same.
        let before = verifications.latest(Duration::ZERO).await.unwrap().expect("the last one");
        let through = before.through[usize::from(SHARD.0)].n;
        assert!([chain.tail.head() - 2, chain.tail.head()].contains(&through), "{through}");
        assert_ne!(before.outcome, Outcome::Running);
    }
    let known = verifications(&log, SMALL).latest(Duration::ZERO).await.unwrap();
    assert!(known.is_none_or(|job| job.outcome != Outcome::Running), "one that runs says nothing yet");
}

/// A large store: a look reads what came since, and only a whole verification finds what was changed before.
// proves: P8, AUD-3
#[tokio::test]
async fn a_large_store_is_read_anew_when_that_is_asked_for() {
    let (dir, log, mut chain) = store().await;
    let verifications = verifications(&log, 0);
    assert!(latest(&verifications).await.ok);
    let rows = rusqlite::Connection::open(dir.path().join("derived.db")).unwrap();
    let gone = rows.execute("DELETE FROM pointers WHERE version = 3", []).unwrap();
    assert_eq!(gone, 1);
    grow(&log, &mut chain).await;
    assert!(latest(&verifications).await.ok, "versions 7 and 8 are there");
    let job = ended(&verifications, verifications.start()).await;
    let Outcome::Found(report) = job.outcome else { panic!("{job:?}") };
    assert_eq!(report.first_fault, Some(Position { shard: SHARD, n: 3 }));
    // The next look goes on from where the last sound one ended.
    grow(&log, &mut chain).await;
    rows.execute("DELETE FROM pointers WHERE version = 10", []).unwrap();
    assert_eq!(latest(&verifications).await.first_fault, Some(Position { shard: SHARD, n: 10 }));
}

/// Whoever drops the verifications ends the one that runs.
#[tokio::test]
async fn a_running_job_ends_with_its_process() {
    let (_dir, log, _chain) = store().await;
    let verifications = verifications(&log, SMALL);
    let shared = Arc::clone(&verifications.shared);
    let id = verifications.start();
    // It has begun, and reads.
    tokio::task::yield_now().await;
    drop(verifications);
    let mut ended = shared.ended.subscribe();
    tokio::time::timeout(LONG, ended.wait_for(|n| *n > 0)).await.expect("it ends").unwrap();
    let state = shared.state();
    let job = state.jobs.iter().find(|job| job.id == id).expect("remembered");
    assert!(matches!(job.outcome, Outcome::Failed(_)), "{job:?}");
}
