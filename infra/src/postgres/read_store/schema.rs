//! The schemas: what all projections share, and the tables of each one's generations.

use std::fmt::Write as _;
use std::sync::Arc;

use projections::engine::model::{Projection, create_indexes};
use projections::engine::rows::{Column, ColumnKind, Table};
use sqlx::{Executor as _, PgConnection, Row};

use super::columns::sql_type;
use super::{analysts, documented};
use crate::postgres::catalogue::{has_schema, has_table};
use crate::read_sql::key_list;

/// The layout that `schema.sql` makes.
const LAYOUT: i32 = 1;
/// How long a swap waits for a view that queries use: new ones wait behind it. Shorter than the server's `deadlock_timeout` (1 s), so that
/// it is the swap, not a query, that gives way when a query uses one view and wants another.
const SWAP_WAIT: &str = "300ms";
/// How long a start waits for others that make or change tables.
const START_WAIT: &str = "20s";
/// How long removing old tables waits for transactions that have read them.
const REMOVE_WAIT: &str = "10s";

/// The generation of a projection that readers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::postgres) struct Live {
    pub(in crate::postgres) version: u32,
    pub(in crate::postgres) shape: String,
    pub(in crate::postgres) generation: i32,
    pub(in crate::postgres) previous: Option<i32>,
}

/// The schema that holds the tables of a generation.
pub(in crate::postgres) fn physical(schema: &str, projection: &str, generation: i32) -> String {
    format!("{schema}_{projection}_{generation}")
}

/// Runs statements without parameters.
pub(in crate::postgres) async fn run(conn: &mut PgConnection, statements: &str) -> sqlx::Result<()> {
    conn.execute(statements).await?;
    Ok(())
}

/// Makes what is missing. The transaction's caller holds [`lock`].
pub(super) async fn migrate(conn: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    if !has_schema(conn, schema).await? {
        run(conn, &format!("CREATE SCHEMA {schema}")).await?;
    }
    if has_table(conn, schema, "store").await? {
        let layout: i32 = sqlx::query_scalar("SELECT layout FROM store").fetch_one(&mut *conn).await?;
        if layout > LAYOUT {
            let newer = format!(
                "the schema {schema} has layout {layout}, which this program doesn't know: use a newer one"
            );
            return Err(sqlx::Error::Configuration(newer.into()));
        }
        let complete: bool = sqlx::query_scalar(include_str!("has_origin.sql"))
            .bind(format!("{schema}.checkpoints"))
            .fetch_one(&mut *conn)
            .await?;
        if !complete {
            run(conn, include_str!("add_origin.sql")).await?;
        }
        return Ok(());
    }
    run(conn, include_str!("schema.sql")).await?;
    for name in ["store", "projections", "generations", "checkpoints", "dead_letters", "progress"] {
        let kind = if name == "progress" { "VIEW" } else { "TABLE" };
        run(conn, &documented::comments_behind(schema, kind, name)).await?;
    }
    analysts::make_role(conn, schema).await?;
    let granting = analysts::granting(conn, schema, &["progress".to_owned()]).await?;
    run(conn, &granting).await
}

/// Keeps other processes from changing schemas until the end of the transaction, and bounds every wait for a lock in it.
pub(in crate::postgres) async fn lock(conn: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    run(conn, &format!("SET LOCAL lock_timeout = '{START_WAIT}'")).await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("tillstream schema {schema}"))
        .execute(conn)
        .await?;
    Ok(())
}

/// The live generation, if there is one; the row stays locked against swaps when asked for.
pub(in crate::postgres) async fn live(
    conn: &mut PgConnection,
    projection: &str,
    locked: bool,
) -> sqlx::Result<Option<Live>> {
    let sql = if locked {
        concat!(include_str!("select_live.sql"), "FOR UPDATE OF p")
    } else {
        include_str!("select_live.sql")
    };
    let row = sqlx::query(sql).bind(projection).fetch_optional(conn).await?;
    row.map(|row| {
        Ok(Live {
            version: row.try_get::<i32, _>(0)?.unsigned_abs(),
            generation: row.try_get(1)?,
            previous: row.try_get(2)?,
            shape: row.try_get(3)?,
        })
    })
    .transpose()
}

/// Whether the schema and all projections are there, so that a start has nothing to make and waits for nobody.
pub(super) async fn is_prepared(
    conn: &mut PgConnection,
    schema: &str,
    projections: &[Arc<dyn Projection>],
) -> sqlx::Result<bool> {
    if !has_table(conn, schema, "store").await? {
        return Ok(false);
    }
    let complete: bool = sqlx::query_scalar(include_str!("has_origin.sql"))
        .bind(format!("{schema}.checkpoints"))
        .fetch_one(&mut *conn)
        .await?;
    if !complete {
        return Ok(false);
    }
    // Nothing is missing: it only tells of a newer layout.
    migrate(conn, schema).await?;
    for projection in projections {
        if live(conn, projection.name(), false).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the tables of a projection that has none, and lets the views show them. Others stay as they are, whatever their version.
pub(super) async fn prepare(
    conn: &mut PgConnection,
    schema: &str,
    projection: &dyn Projection,
    shards: u16,
) -> sqlx::Result<()> {
    let name = projection.name();
    if live(conn, name, true).await?.is_some() {
        return Ok(());
    }
    let fresh = create(conn, schema, projection, shards).await?;
    index(conn, schema, projection, fresh).await?;
    make_live(conn, schema, projection, fresh).await
}

/// Whether a generation was made for this version of the projection.
pub(in crate::postgres) async fn fits(
    conn: &mut PgConnection,
    projection: &dyn Projection,
    generation: i32,
) -> sqlx::Result<bool> {
    let made: Option<(i32, String)> =
        sqlx::query_as("SELECT version, shape FROM generations WHERE projection = $1 AND generation = $2")
            .bind(projection.name())
            .bind(generation)
            .fetch_optional(conn)
            .await?;
    Ok(made.is_some_and(|(version, made)| {
        version.unsigned_abs() == projection.version() && made == shape(projection)
    }))
}

/// Makes the empty tables of a new generation, without secondary indexes, and its checkpoints.
pub(in crate::postgres) async fn create(
    conn: &mut PgConnection,
    schema: &str,
    projection: &dyn Projection,
    shards: u16,
) -> sqlx::Result<i32> {
    let name = projection.name();
    let version = i32::try_from(projection.version()).unwrap_or(i32::MAX);
    let generation: i32 = sqlx::query_scalar(
        "INSERT INTO projections (name, version, generation, last_generation) VALUES ($1, $2, 0, 1) \
         ON CONFLICT (name) DO UPDATE SET last_generation = projections.last_generation + 1 RETURNING last_generation",
    )
    .bind(name)
    .bind(version)
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query("INSERT INTO generations (projection, generation, version, shape) VALUES ($1, $2, $3, $4)")
        .bind(name)
        .bind(generation)
        .bind(version)
        .bind(shape(projection))
        .execute(&mut *conn)
        .await?;
    let physical = physical(schema, name, generation);
    let mut ddl = format!("CREATE SCHEMA {physical}; ");
    for table in projection.tables() {
        let _ = write!(ddl, "CREATE TABLE {physical}.\"{}\" ({}); ", table.name, definition(table));
    }
    run(conn, &ddl).await?;
    checkpoints(conn, name, generation, shards).await?;
    Ok(generation)
}

async fn checkpoints(
    conn: &mut PgConnection,
    projection: &str,
    generation: i32,
    shards: u16,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("insert_checkpoints.sql"))
        .bind(projection)
        .bind(generation)
        .bind(i32::from(shards))
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes the secondary indexes of a generation, if they aren't the ones it has.
pub(in crate::postgres) async fn index(
    conn: &mut PgConnection,
    schema: &str,
    projection: &dyn Projection,
    generation: i32,
) -> sqlx::Result<()> {
    let (name, indexes) = (projection.name(), create_indexes(projection));
    let marked = sqlx::query(
        "UPDATE generations SET indexes = $3 WHERE projection = $1 AND generation = $2 AND indexes <> $3",
    )
    .bind(name)
    .bind(generation)
    .bind(&indexes)
    .execute(&mut *conn)
    .await?;
    if marked.rows_affected() == 0 {
        return Ok(());
    }
    let ddl = format!(
        "SET LOCAL search_path = {}; {indexes}; SET LOCAL search_path = {schema}",
        physical(schema, name, generation)
    );
    run(conn, &ddl).await?;
    Ok(())
}

/// Tells the planner what is in a generation that was filled at one go.
pub(in crate::postgres) async fn analyze(
    conn: &mut PgConnection,
    schema: &str,
    projection: &dyn Projection,
    generation: i32,
) -> sqlx::Result<()> {
    let physical = physical(schema, projection.name(), generation);
    for table in projection.tables() {
        run(conn, &format!("ANALYZE {physical}.\"{}\"", table.name)).await?;
    }
    Ok(())
}

/// Lets the views show a generation; the one before is kept. It waits for the views' readers for a moment only: see
/// [`is_lock_timeout`].
pub(in crate::postgres) async fn make_live(
    conn: &mut PgConnection,
    schema: &str,
    projection: &dyn Projection,
    generation: i32,
) -> sqlx::Result<()> {
    let ours = shape(projection);
    let tables = projection.tables();
    let projection = projection.name();
    let stored = live(conn, projection, true).await?;
    let before = stored.map(|live| live.generation).filter(|before| *before != 0);
    let shape = "SELECT shape FROM generations WHERE projection = $1 AND generation = $2";
    let shape_of = |generation: i32| sqlx::query_scalar::<_, String>(shape).bind(projection).bind(generation);
    let new_shape = shape_of(generation).fetch_optional(&mut *conn).await?;
    let same_shape = match before {
        Some(before) => shape_of(before).fetch_optional(&mut *conn).await? == new_shape,
        None => false,
    };
    // What this program knows of tables of another version would be wrong there.
    let described = if new_shape.as_ref() == Some(&ours) { tables } else { &[] };
    sqlx::query(
        "UPDATE projections SET generation = $2, previous_generation = $3, live_since = now(), \
         version = (SELECT version FROM generations WHERE projection = $1 AND generation = $2) WHERE name = $1",
    )
    .bind(projection)
    .bind(generation)
    .bind(before)
    .execute(&mut *conn)
    .await?;
    // Followers see at once that they follow other rows.
    sqlx::query("SELECT pg_notify($1, '')").bind(format!("{schema}_checkpoints")).execute(&mut *conn).await?;
    let old = before.filter(|_| !same_shape).map(|before| physical(schema, projection, before));
    let new = physical(schema, projection, generation);
    define_views(conn, schema, old.as_deref(), &new, (!same_shape).then_some(described)).await
}

/// Lets the views show the tables of a schema; with descriptions where the shape is another one than before. All of it goes to the server
/// at once, in the order in which the tables were declared: rows before what belongs to them, as queries come by them (PostgreSQL takes what
/// stands after FROM first). A query that has one view and waits for another, which the swap has already, would be in the way of each
/// attempt.
async fn define_views(
    conn: &mut PgConnection,
    schema: &str,
    old: Option<&str>,
    new: &str,
    described: Option<&[&'static Table]>,
) -> sqlx::Result<()> {
    let mut ddl = format!("SET LOCAL lock_timeout = '{SWAP_WAIT}'; ");
    if let Some(old) = old {
        for table in tables(conn, old).await? {
            let _ = write!(ddl, "DROP VIEW IF EXISTS {schema}.\"{table}\"; ");
        }
    }
    let tables = tables(conn, new).await?;
    for table in &tables {
        let _ =
            write!(ddl, "CREATE OR REPLACE VIEW {schema}.\"{table}\" AS SELECT * FROM {new}.\"{table}\"; ");
        let described = described.and_then(|all| all.iter().find(|described| described.name == table));
        if let Some(described) = described {
            ddl.push_str(&documented::comments_of(schema, described));
        }
    }
    if described.is_some() {
        ddl.push_str(&analysts::granting(conn, schema, &tables).await?);
    }
    let _ = write!(ddl, "SET LOCAL lock_timeout = '{START_WAIT}'");
    run(conn, &ddl).await
}

/// Whether somebody else's transaction was in the way for longer than it may hold others up.
pub(in crate::postgres) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}

/// The tables of a schema in the order in which they were made.
async fn tables(conn: &mut PgConnection, physical: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(include_str!("select_tables.sql")).bind(physical).fetch_all(conn).await
}

/// Whose transactions keep the views of a schema, for people.
pub(in crate::postgres) async fn readers(conn: &mut PgConnection, schema: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(include_str!("select_readers.sql")).bind(schema).fetch_all(conn).await
}

/// The generation that was live before can't be again.
pub(super) async fn forget_previous(conn: &mut PgConnection, projection: &str) -> sqlx::Result<()> {
    let forget = sqlx::query("UPDATE projections SET previous_generation = NULL WHERE name = $1");
    forget.bind(projection).execute(conn).await.map(|_| ())
}

/// Drops a generation that isn't live.
pub(in crate::postgres) async fn remove(
    conn: &mut PgConnection,
    schema: &str,
    projection: &str,
    generation: i32,
) -> sqlx::Result<()> {
    let physical = physical(schema, projection, generation);
    run(conn, &format!("SET LOCAL lock_timeout = '{REMOVE_WAIT}'")).await?;
    run(conn, &format!("DROP SCHEMA IF EXISTS {physical} CASCADE")).await?;
    for table in ["checkpoints", "dead_letters", "generations"] {
        sqlx::query(&format!("DELETE FROM {table} WHERE projection = $1 AND generation = $2"))
            .bind(projection)
            .bind(generation)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// The definitions of the projection's tables.
pub(in crate::postgres) fn shape(projection: &dyn Projection) -> String {
    projection.tables().iter().map(|table| format!("{} ({});\n", table.name, definition(table))).collect()
}

/// A column of the projection that tables of another shape lack; none: this program can read them.
pub(in crate::postgres) fn lacking(projection: &dyn Projection, others: &str) -> Option<String> {
    for table in projection.tables() {
        let name = table.name;
        let line = others.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" ("));
        let Some(line) = line else { return Some(name.to_owned()) };
        let columns: Vec<&str> = line.split(", ").collect();
        let missing = table.columns().find(|(column, kind)| {
            let wanted = format!("\"{column}\" {}", sql_type(*kind));
            let fits = |rest: &str| rest.is_empty() || rest.starts_with(' ');
            !columns.iter().any(|has| has.strip_prefix(wanted.as_str()).is_some_and(fits))
        });
        if let Some((column, _)) = missing {
            return Some(format!("{name}.{column}"));
        }
    }
    None
}

fn definition(table: &Table) -> String {
    let mut sql = String::new();
    let column = |sql: &mut String, column: &Column, more: &str| {
        // Writing to a string can't fail.
        let _ = write!(sql, "\"{}\" {}{more}, ", column.name, sql_type(column.kind));
    };
    for key in table.key {
        column(&mut sql, key, " NOT NULL");
    }
    for group in table.groups {
        let _ = write!(sql, "\"{}_version\" {} NOT NULL DEFAULT 0, ", group.name, sql_type(ColumnKind::Int));
        for set in group.columns {
            column(&mut sql, set, "");
        }
    }
    let _ = write!(sql, "PRIMARY KEY ({})", key_list(table));
    sql
}
