//! Secondary indexes of live tables that a program before this one didn't have.
//!
//! They are made while the tables are read and written, after the start. That waits for every transaction that began before, a forgotten
//! one included: for a moment, and then it is tried again later.

use std::sync::Arc;

use projections::engine::model::{Projection, create_indexes};
use projections::engine::store::StoreError;
use sqlx::PgConnection;

use crate::postgres::Database;
use crate::postgres::read_store::schema::{self, physical, run};
use crate::postgres::read_store::unavailable;

/// How long one waits for others' transactions.
const WAIT: &str = "5s";

/// Makes what is missing; what is there stays.
pub(super) async fn bring_up_to_date(
    database: &Database,
    projections: &[Arc<dyn Projection>],
) -> Result<(), StoreError> {
    for projection in projections {
        let mut conn = database.writes().acquire().await.map_err(unavailable)?;
        let live = schema::live(&mut conn, projection.name(), false).await.map_err(unavailable)?;
        if let Some(live) = live.filter(|live| live.shape == schema::shape(projection.as_ref())) {
            let made = bring_one(&mut conn, database.schema(), projection.as_ref(), live.generation).await;
            // It is given back as it was taken.
            run(&mut conn, &format!("SET search_path = {}; SET lock_timeout = 0", database.schema()))
                .await
                .map_err(unavailable)?;
            made.map_err(unavailable)?;
        }
    }
    Ok(())
}

async fn bring_one(
    conn: &mut PgConnection,
    schema: &str,
    projection: &dyn Projection,
    generation: i32,
) -> sqlx::Result<()> {
    let wanted = create_indexes(projection);
    let projection = projection.name();
    let made: String =
        sqlx::query_scalar("SELECT indexes FROM generations WHERE projection = $1 AND generation = $2")
            .bind(projection)
            .bind(generation)
            .fetch_one(&mut *conn)
            .await?;
    if made == wanted {
        return Ok(());
    }
    let physical = physical(schema, projection, generation);
    run(conn, &format!("SET search_path = {physical}; SET lock_timeout = '{WAIT}'")).await?;
    // Halves of an attempt that was given up.
    let halves: Vec<String> =
        sqlx::query_scalar(include_str!("select_invalid.sql")).bind(&physical).fetch_all(&mut *conn).await?;
    for half in halves {
        run(conn, &format!("DROP INDEX CONCURRENTLY IF EXISTS \"{half}\"")).await?;
    }
    for statement in wanted.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        tracing::info!(projection, statement, "making an index beside readers and writers");
        run(conn, &statement.replacen("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1)).await?;
    }
    sqlx::query(&format!(
        "UPDATE {schema}.generations SET indexes = $3 WHERE projection = $1 AND generation = $2"
    ))
    .bind(projection)
    .bind(generation)
    .bind(wanted)
    .execute(&mut *conn)
    .await?;
    Ok(())
}
