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

/// The statements that let the role read views; none where there is no such role.
pub(super) async fn granting(
    conn: &mut PgConnection,
    schema: &str,
    views: &[String],
) -> sqlx::Result<String> {
    let role = role(schema);
    if !exists(conn, &role).await? {
        return Ok(String::new());
    }
    Ok(views.iter().map(|view| format!("GRANT SELECT ON {schema}.\"{view}\" TO {role}; ")).collect())
}

async fn exists(conn: &mut PgConnection, role: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)")
        .bind(role)
        .fetch_one(conn)
        .await
}
