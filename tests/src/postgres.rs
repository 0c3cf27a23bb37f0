//! Schemas of a PostgreSQL database for tests.

use infra::postgres::PostgresUrl;

use crate::engines::{engines, fresh_name};

/// A PostgreSQL schema of a test's own, with those whose names begin with it; dropped at its end.
pub struct PostgresSchema(String);

impl PostgresSchema {
    /// A new one, not yet made.
    #[must_use]
    pub fn fresh() -> Self {
        Self(fresh_name())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Where it is.
    ///
    /// # Panics
    /// When the environment names no PostgreSQL.
    #[must_use]
    pub fn url(&self) -> PostgresUrl {
        let url: PostgresUrl = engines().postgres.parse().expect("a url");
        url.with_schema(&self.0).expect("a plain name")
    }
}

impl Drop for PostgresSchema {
    fn drop(&mut self) {
        let name = self.0.clone();
        // A runtime of its own: the test's may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(drop_schemas(&name))
        });
        if let Ok(Err(error)) = dropping.join() {
            tracing::warn!(schema = self.0, %error, "a test's schema was left behind");
        }
    }
}

async fn drop_schemas(name: &str) -> Result<(), sqlx::Error> {
    use sqlx::Connection as _;
    let mut conn = sqlx::PgConnection::connect(&engines().postgres).await?;
    let schemas: Vec<String> = sqlx::query_scalar(
        "SELECT nspname::text FROM pg_namespace WHERE nspname = $1 OR nspname LIKE $1 || '\\_%'",
    )
    .bind(name)
    .fetch_all(&mut conn)
    .await?;
    for schema in schemas {
        sqlx::query(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).execute(&mut conn).await?;
    }
    sqlx::query(&format!("DROP ROLE IF EXISTS {name}_analyst")).execute(&mut conn).await?;
    conn.close().await
}
