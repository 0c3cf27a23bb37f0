//! The role of those who only read: a group that logins are granted.

use sqlx::PgConnection;

use super::schema::run;

/// `<schema>_analyst`.
fn role(schema: &str) -> String {
    format!("{schema}_analyst")
}

/// Makes the role, which may read the views and nothing else. Without the privilege to make roles it is left out.
pub(super) async fn make_role(conn: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let role = role(schema);
    if !exists(conn, &role).await? {
        run(conn, "SAVEPOINT role").await?;
        if let Err(error) = run(conn, &format!("CREATE ROLE {role} NOLOGIN")).await {
            run(conn, "ROLLBACK TO SAVEPOINT role").await?;
            if !exists(conn, &role).await? {
                tracing::warn!(role, %error, "can't make the role for analysts; let an administrator make it, then grant it \
                    USAGE on the schema and SELECT on its views");
                return Ok(());
            }
        }
    }
    run(conn, &format!("GRANT USAGE ON SCHEMA {schema} TO {role}")).await?;
    Ok(())
}

/// Lets the role read a view.
pub(super) async fn grant(conn: &mut PgConnection, schema: &str, view: &str) -> sqlx::Result<()> {
    let role = role(schema);
    if exists(conn, &role).await? {
        run(conn, &format!("GRANT SELECT ON {schema}.\"{view}\" TO {role}")).await?;
    }
    Ok(())
}

async fn exists(conn: &mut PgConnection, role: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)")
        .bind(role)
        .fetch_one(conn)
        .await
}
