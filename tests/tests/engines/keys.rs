//! The key store over PostgreSQL passes the contract of the port, and what only it can show.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::personal::ERASED;
use domain::ports::keys::{KeyError, SubjectKeys};
use domain::stream::StreamId;
use futures::future::join_all;
use infra::postgres::PostgresUrl;
use infra::postgres::keys::{OpenPostgresKeysError, PostgresKeys, VALID_FOR, beside};
use infra::postgres::secrets::PostgresSecrets;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::contract::keys::KeysFactory;
use tests::engines::{engines, fresh_name};
use tokio::time::Instant;

struct Postgres(PostgresUrl);

impl Postgres {
    fn new() -> Self {
        let read: PostgresUrl = engines().postgres.parse().unwrap();
        Self(beside(&read.with_schema(&fresh_name()).unwrap()).unwrap())
    }

    async fn keys(&self) -> PostgresKeys {
        PostgresKeys::open(&self.0).await.unwrap()
    }

    async fn sql(&self) -> PgConnection {
        let mut sql = PgConnection::connect(&engines().postgres).await.unwrap();
        sql.execute(format!("SET search_path = {}", self.0.schema()).as_str()).await.unwrap();
        sql
    }
}

#[async_trait]
impl KeysFactory for Postgres {
    async fn open(&self) -> Arc<dyn SubjectKeys> {
        Arc::new(self.keys().await)
    }

    fn processes(&self) -> usize {
        2
    }

    async fn remove(&self) {
        let mut sql = self.sql().await;
        sql.execute(format!("DROP SCHEMA {} CASCADE", self.0.schema()).as_str()).await.unwrap();
    }
}

tests::keys_contract!(Postgres::new());

/// Waits until somebody waits for an advisory lock.
async fn awaited(sql: &mut PgConnection, lock: i64) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                   AND ((classid::bigint << 32) | objid::bigint) = $1";
    let found = async {
        while sqlx::query_scalar::<_, i64>(waiting).bind(lock).fetch_one(&mut *sql).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(tests::shop::SETTLES_WITHIN, found).await.expect("somebody waits for the lock");
}

/// What a connection remembers of names is older than the lock that it waited for.
// proves: SEC-6, OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_waited_while_another_made_the_schema_finds_it() {
    let postgres = Postgres::new();
    let (schema, mut other) =
        (postgres.0.schema().to_owned(), PgConnection::connect(&engines().postgres).await.unwrap());
    let digest = Sha256::digest(format!("tillstream keys {schema}"));
    let lock = i64::from_be_bytes(std::array::from_fn(|i| digest[i]));
    other.execute("BEGIN").await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut other).await.unwrap();
    let url = postgres.0.clone();
    let opening = tokio::spawn(async move { PostgresKeys::open(&url).await });
    awaited(&mut PgConnection::connect(&engines().postgres).await.unwrap(), lock).await;
    other
        .execute(format!("CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}").as_str())
        .await
        .unwrap();
    other.execute(include_str!("../../../infra/src/postgres/keys/schema.sql")).await.unwrap();
    sqlx::query(include_str!("../../../infra/src/postgres/keys/insert_blind_key.sql"))
        .bind(&[7_u8; 32][..])
        .execute(&mut other)
        .await
        .unwrap();
    other.execute("COMMIT").await.unwrap();
    opening.await.unwrap().unwrap();
    KeysFactory::remove(&postgres).await;
}

fn user(id: &str) -> StreamId {
    StreamId::new("default", "user", id)
}

/// Whether a table's file on the server's disk holds the bytes.
async fn in_the_files(sql: &mut PgConnection, needle: &[u8]) -> bool {
    sql.execute("CHECKPOINT").await.unwrap();
    let find = "SELECT bool_or(position($1 IN pg_read_binary_file(pg_relation_filepath(oid))) > 0) FROM pg_class \
                WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
    sqlx::query_scalar(find).bind(needle).fetch_one(sql).await.unwrap()
}

/// Every subject and its key.
async fn stored(sql: &mut PgConnection) -> HashMap<String, Option<Vec<u8>>> {
    let tables = (0..64).map(|n| format!("SELECT subject, key FROM subject_keys_{n}")).collect::<Vec<_>>();
    let rows: Vec<(String, Option<Vec<u8>>)> =
        sqlx::query_as(&tables.join(" UNION ALL ")).fetch_all(sql).await.unwrap();
    rows.into_iter().collect()
}

// proves: SEC-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_key_is_not_in_the_table_whoever_is_reading() {
    let postgres = Postgres::new();
    let keys = postgres.keys().await;
    for id in ["a", "b", "c"] {
        keys.seal(&user(id), &["x"]).await.unwrap();
    }
    let mut sql = postgres.sql().await;
    let key = stored(&mut sql).await.remove(&user("b").to_string()).unwrap().unwrap();
    assert!(in_the_files(&mut sql, &key).await, "the search finds a key that is there");
    // A reader whose snapshot is older than the erasure, and would keep the row's old version.
    let mut reader = postgres.sql().await;
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM blind_key").await.unwrap();
    keys.destroy(&user("b")).await.unwrap();
    assert!(!in_the_files(&mut sql, &key).await);
    reader.execute("COMMIT").await.unwrap();
    let left = stored(&mut sql).await;
    let kept: Vec<_> = left.into_iter().filter(|(_, key)| key.is_some()).collect();
    assert_eq!(kept.len(), 2);
    postgres.remove().await;
}

// proves: SEC-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_forgets_an_erased_key_within_the_stated_time() {
    let postgres = Postgres::new();
    let (here, there) = (postgres.keys().await, postgres.keys().await);
    let ann = user("ann");
    let sealed = here.seal(&ann, &["Ann"]).await.unwrap();
    assert_eq!(there.open(&ann, &[&sealed[0]]).await.unwrap(), ["Ann"]);
    let read = Instant::now();
    here.destroy(&ann).await.unwrap();
    assert_eq!(here.open(&ann, &[&sealed[0]]).await.unwrap(), [ERASED]);
    // It may go by what it read before, and no longer than that.
    let mut last = there.open(&ann, &[&sealed[0]]).await.unwrap();
    let mut asked = read;
    while last != [ERASED] {
        assert!(asked.duration_since(read) <= VALID_FOR, "still {last:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        asked = Instant::now();
        last = there.open(&ann, &[&sealed[0]]).await.unwrap();
    }
    assert_eq!(there.seal(&ann, &["Ann"]).await, Err(KeyError::Erased));
    postgres.remove().await;
}

// proves: SEC-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_in_progress_holds_an_erasure_up_but_nobody_else() {
    let postgres = Postgres::new();
    let keys = postgres.keys().await;
    let sealed = keys.seal(&user("a"), &["Ada"]).await.unwrap();
    let mut dump = postgres.sql().await;
    dump.execute("BEGIN").await.unwrap();
    stored(&mut dump).await;
    assert!(matches!(keys.destroy(&user("a")).await, Err(KeyError::Unavailable(_))));
    assert_eq!(keys.open(&user("a"), &[&sealed[0]]).await.unwrap(), ["Ada"]);
    dump.execute("COMMIT").await.unwrap();
    keys.destroy(&user("a")).await.unwrap();
    assert_eq!(keys.open(&user("a"), &[&sealed[0]]).await.unwrap(), [ERASED]);
    postgres.remove().await;
}

// proves: SEC-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_gone_are_not_made_anew_for_a_log_with_events() {
    let postgres = Postgres::new();
    let open = || PostgresKeys::open_existing(&postgres.0);
    assert!(matches!(open().await, Err(OpenPostgresKeysError::Missing { .. })));
    let blind = postgres.keys().await.blind("x");
    assert_eq!(open().await.unwrap().blind("x"), blind);
    let mut sql = postgres.sql().await;
    sql.execute("DELETE FROM blind_key").await.unwrap();
    assert!(matches!(open().await, Err(OpenPostgresKeysError::Missing { .. })));
    sql.execute("UPDATE layout SET version = 99").await.unwrap();
    assert!(matches!(open().await, Err(OpenPostgresKeysError::Newer { found: 99, .. })));
    postgres.remove().await;
}

// proves: SEC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_at_once_share_their_secrets() {
    let postgres = Postgres::new();
    let instances = join_all((0..6).map(|_| async { postgres.keys().await })).await;
    assert!(instances.iter().all(|keys| keys.blind("x") == instances[0].blind("x")));
    let secrets: Vec<PostgresSecrets> = instances.iter().map(PostgresSecrets::beside).collect();
    let peers = join_all(secrets.iter().map(PostgresSecrets::peer_secret)).await;
    let peers: Vec<[u8; 32]> = peers.into_iter().map(Result::unwrap).collect();
    assert!(peers.iter().all(|secret| *secret == peers[0] && *secret != [0; 32]));
    let signing = join_all(secrets.iter().map(PostgresSecrets::signing_keys)).await;
    let kids: Vec<String> = signing.into_iter().map(|keys| keys.unwrap().kid().to_owned()).collect();
    assert!(kids.iter().all(|kid| *kid == kids[0]), "{kids:?}");
    let own = join_all((0..6).map(|n| secrets[n].get_or_create("own", move || vec![n as u8]))).await;
    assert!(own.iter().all(|value| value == &own[0]), "{own:?}");
    secrets[0].cursor_key().await.unwrap();
    postgres.remove().await;
}
