//! The schema of the keys: its tables, and the connections to it.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::super::PostgresUrl;
use super::super::catalogue::has_table;
use super::OpenPostgresKeysError;
use crate::subject_keys::BlindKey;

const LAYOUT: i32 = 1;
/// The connections of one process. Keys are read when they aren't in memory, so few are enough.
const CONNECTIONS: u32 = 8;
/// The tables that subjects are spread over.
const TABLES: u8 = 64;
/// Statements that a connection keeps prepared: two per table, and a few.
const STATEMENTS: usize = 256;
/// How long to wait for a free connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Opens the schema, making what is missing in it if `make`.
pub(super) async fn open(
    url: &PostgresUrl,
    make: bool,
) -> Result<(PgPool, BlindKey, i64), OpenPostgresKeysError> {
    let storage = |source| OpenPostgresKeysError::Storage { url: url.to_string(), source };
    // Nothing may be sealed under a key that could be lost, whatever the server's default is.
    let options = url.options().map_err(|e| storage(sqlx::Error::Configuration(Box::new(e))))?;
    let options = options.options([("synchronous_commit", "on")]).statement_cache_capacity(STATEMENTS);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
    let pool = pool.connect_with(options).await.map_err(storage)?;
    let mut conn = pool.acquire().await.map_err(storage)?;
    let fsync: String =
        sqlx::query_scalar("SELECT current_setting('fsync')").fetch_one(&mut *conn).await.map_err(storage)?;
    if fsync != "on" {
        tracing::warn!(%url, "the server runs with fsync off: a crash may lose keys, and with them personal data");
    }
    let exists = has_table(&mut conn, url.schema(), "layout").await.map_err(storage)?;
    if make {
        create(&mut conn, url.schema()).await.map_err(storage)?;
    } else if !exists {
        return Err(OpenPostgresKeysError::Missing { url: url.to_string() });
    }
    let found: i32 =
        sqlx::query_scalar(include_str!("select_layout.sql")).fetch_one(&mut *conn).await.map_err(storage)?;
    if found != LAYOUT {
        return Err(OpenPostgresKeysError::Newer { url: url.to_string(), found });
    }
    let blind: Option<Vec<u8>> = sqlx::query_scalar(include_str!("select_blind_key.sql"))
        .fetch_optional(&mut *conn)
        .await
        .map_err(storage)?;
    let Some(blind) = blind.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
        return Err(OpenPostgresKeysError::Missing { url: url.to_string() });
    };
    let lock = lock_of(url.schema());
    drop(conn);
    Ok((pool, BlindKey::new(&blind), lock))
}

/// Makes the schema unless it is there; instances that start at once do so one after another.
async fn create(conn: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let mut tx = conn.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock_of(schema)).execute(&mut *tx).await?;
    if has_table(&mut tx, schema, "layout").await? {
        return tx.rollback().await;
    }
    // The schema's name was checked when the URL was read: it needs no escaping.
    tx.execute(format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"").as_str()).await?;
    tx.execute(include_str!("schema.sql")).await?;
    let blind: [u8; 32] = rand::random();
    sqlx::query(include_str!("insert_blind_key.sql")).bind(&blind[..]).execute(&mut *tx).await?;
    tx.commit().await
}

/// A statement about the table that a subject is in.
fn of(statement: &str, subject: &str) -> String {
    let part = Sha256::digest(subject)[0] % TABLES;
    statement.replace("{table}", &format!("subject_keys_{part}"))
}

/// The advisory lock of whoever changes the schema's tables.
fn lock_of(schema: &str) -> i64 {
    let digest = Sha256::digest(format!("tillstream keys {schema}"));
    i64::from_be_bytes(std::array::from_fn(|i| digest[i]))
}

/// Destroys a subject's key. The row's older versions hold it until they are overwritten, so its table is written anew in the same
/// transaction. Erasures go one after another.
pub(super) async fn destroy(pool: &PgPool, lock: i64, subject: &str) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut *tx).await?;
    // A dump that reads the table for long must not hold up everybody who needs a key behind this.
    tx.execute("SET LOCAL lock_timeout = '2s'").await?;
    // Before the row is changed, so that nobody who holds the row waits for the table meanwhile.
    tx.execute(of("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE", subject).as_str()).await?;
    sqlx::query(&of(include_str!("erase_key.sql"), subject)).bind(subject).execute(&mut *tx).await?;
    tx.execute(of(include_str!("rewrite_keys.sql"), subject).as_str()).await?;
    tx.commit().await
}

pub(super) async fn find(pool: &PgPool, subject: &str) -> sqlx::Result<Option<Option<[u8; 32]>>> {
    let found: Option<Option<Vec<u8>>> = sqlx::query_scalar(&of(include_str!("select_key.sql"), subject))
        .bind(subject)
        .fetch_optional(pool)
        .await?;
    let whole = |bytes: Vec<u8>| {
        <[u8; 32]>::try_from(bytes).map_err(|_| sqlx::Error::Decode("a key is not of 32 bytes".into()))
    };
    found.map(|key| key.map(whole).transpose()).transpose()
}

/// Of several who make a key at once, one does, and all get that one.
pub(super) async fn make(pool: &PgPool, subject: &str) -> sqlx::Result<Option<[u8; 32]>> {
    let bytes: [u8; 32] = rand::random();
    let insert = of(include_str!("insert_key.sql"), subject);
    sqlx::query(&insert).bind(subject).bind(&bytes[..]).execute(pool).await?;
    find(pool, subject).await?.ok_or(sqlx::Error::RowNotFound)
}
