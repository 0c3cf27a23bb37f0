//! Making a store and its tables, and telling whether they are there.

use domain::ports::log::StoreInfo;
use domain::position::MAX_SHARDS;
use futures::{StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::statement::unprepared::Statement;
use uuid::Uuid;

use super::connect::{Connected, applied, connect, deciding};
use super::log::stamp;
use super::open_error::{OpenError, failed};
use super::url::CassandraUrl;

/// The files that make the tables: version, name, contents. Applied ones are never edited.
const MIGRATIONS: [(i32, &str, &str); 3] = [
    (1, "tables", include_str!("cql/0001_tables.cql")),
    (2, "event partitions", include_str!("cql/0002_event_partitions.cql")),
    (3, "derived marks", include_str!("cql/0003_derived_marks.cql")),
];
/// Migrations that make a table of derived rows anew, empty: in a store with events these rows are to be written again.
const EMPTYING: [i32; 1] = [2];
/// Replicas of a new keyspace where there are enough nodes.
const REPLICAS: usize = 3;
/// Requests at a time while the rows of owners are made.
const AT_ONCE: usize = 16;

/// The layout of this program.
fn newest() -> i32 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default()
}

/// Makes keyspace, tables, the store's row and the rows of its owners, as far as they are missing.
pub(super) async fn migrate(url: &CassandraUrl, shards: u16) -> Result<StoreInfo, OpenError> {
    if !(1..=MAX_SHARDS).contains(&shards) {
        return Err(OpenError::Shards(shards));
    }
    let Connected { session, datacenter } = connect(url).await?;
    create_keyspace(&session, url, &datacenter).await?;
    session.use_keyspace(url.keyspace(), true).await.map_err(failed("the new keyspace"))?;
    let found = layout(&session, url.keyspace()).await?.unwrap_or(0);
    if found > newest() {
        return Err(OpenError::Newer { keyspace: url.keyspace().to_owned(), found, known: newest() });
    }
    for (version, name, cql) in MIGRATIONS.into_iter().filter(|(version, ..)| *version > found) {
        let begins_anew = found > 0 && EMPTYING.contains(&version);
        if begins_anew {
            refuse_while_running(&session, url).await?;
        }
        for statement in statements(cql) {
            session.query_unpaged(statement, &[]).await.map_err(failed(name))?;
        }
        if begins_anew {
            derive_again(&session).await?;
        }
        let insert = include_str!("cql/insert_migration.cql");
        session.query_unpaged(insert, (version, name)).await.map_err(failed("the table of migrations"))?;
        tracing::info!(keyspace = url.keyspace(), version, name, "tables made");
    }
    let store = create_store(&session, url, &datacenter, shards).await?;
    create_owners(&session, url, &datacenter, shards).await?;
    Ok(store)
}

/// Owners would go on with what is about to be dropped.
async fn refuse_while_running(session: &Session, url: &CassandraUrl) -> Result<(), OpenError> {
    let what = "the running processes";
    let rows = session.query_unpaged(include_str!("cql/select_instances.cql"), &[]).await;
    let running = rows.map_err(failed(what))?.into_rows_result().map_err(failed(what))?.rows_num();
    match running {
        0 => Ok(()),
        running => Err(OpenError::Running { keyspace: url.keyspace().to_owned(), running }),
    }
}

/// Begins a new generation of derived rows in every shard that has some: its next owner writes them all.
async fn derive_again(session: &Session) -> Result<(), OpenError> {
    let what = "the progress of the shards";
    let rows = session.query_unpaged(include_str!("cql/select_generations.cql"), &[]).await;
    let rows = rows.map_err(failed(what))?.into_rows_result().map_err(failed(what))?;
    for row in rows.rows::<(i32, Option<i64>)>().map_err(failed(what))? {
        let (shard, generation) = row.map_err(failed(what))?;
        let next = generation.unwrap_or_default() + 1;
        let values = (stamp(next as u64, 0), next, shard);
        let reset = include_str!("cql/reset_derived.cql");
        session.query_unpaged(reset, values).await.map_err(failed(what))?;
    }
    Ok(())
}

/// The statements of a file, without its comments.
fn statements(cql: &str) -> impl Iterator<Item = String> + '_ {
    cql.split(";\n")
        .map(|part| {
            part.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
        })
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
}

async fn create_keyspace(session: &Session, url: &CassandraUrl, datacenter: &str) -> Result<(), OpenError> {
    let what = "the keyspace";
    let select = include_str!("cql/select_keyspace.cql");
    let found = session.query_unpaged(select, (url.keyspace(),)).await.map_err(failed(what))?;
    if found.into_rows_result().map_err(failed(what))?.rows_num() > 0 {
        return Ok(());
    }
    let state = session.get_cluster_state();
    let nodes = state.get_nodes_info();
    let near = nodes.iter().filter(|node| node.datacenter.as_deref() == Some(datacenter)).count();
    let replicas = url.replication().map_or(near.clamp(1, REPLICAS), usize::from);
    let fill = |template: &str| {
        // The keyspace is checked by its URL; a data centre's name may hold anything.
        template
            .replace("{keyspace}", url.keyspace())
            .replace("{datacenter}", &datacenter.replace('\'', "''"))
            .replace("{replicas}", &replicas.to_string())
    };
    // ScyllaDB before 2025.4 has no conditional writes where tablets are on; servers that don't know the option or don't
    // allow it off are asked without it.
    if nodes.iter().any(|node| node.sharder().is_some()) {
        match session.query_unpaged(fill(include_str!("cql/create_keyspace_without_tablets.cql")), &[]).await
        {
            Ok(_) => return Ok(()),
            Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(
                DbError::SyntaxError | DbError::Invalid | DbError::ConfigError,
                reason,
            ))) => tracing::warn!(reason, "the keyspace can't be made without tablets"),
            Err(error) => return Err(failed(what)(error)),
        }
    }
    session.query_unpaged(fill(include_str!("cql/create_keyspace.cql")), &[]).await.map_err(failed(what))?;
    Ok(())
}

/// The version of the last migration; `None` when there are no tables.
async fn layout(session: &Session, keyspace: &str) -> Result<Option<i32>, OpenError> {
    let what = "the table of migrations";
    let select = include_str!("cql/select_tables.cql");
    let tables = session.query_unpaged(select, (keyspace,)).await.map_err(failed(what))?;
    if tables.into_rows_result().map_err(failed(what))?.rows_num() < 2 {
        return Ok(None);
    }
    let rows =
        session.query_unpaged(include_str!("cql/select_migrations.cql"), &[]).await.map_err(failed(what))?;
    let rows = rows.into_rows_result().map_err(failed(what))?;
    let versions = rows.rows::<(i32,)>().map_err(failed(what))?.collect::<Result<Vec<_>, _>>();
    Ok(versions.map_err(failed(what))?.into_iter().map(|(version,)| version).max())
}

async fn create_store(
    session: &Session,
    url: &CassandraUrl,
    datacenter: &str,
    asked: u16,
) -> Result<StoreInfo, OpenError> {
    let what = "the store's row";
    let mut insert = Statement::new(include_str!("cql/insert_store.cql"));
    insert.set_execution_profile_handle(Some(deciding(url, datacenter)));
    let outcome =
        session.query_unpaged(insert, (Uuid::new_v4(), i32::from(asked))).await.map_err(failed(what))?;
    let made = applied(&outcome.into_rows_result().map_err(failed(what))?);
    let store = select_store(session, true)
        .await?
        .ok_or(OpenError::Storage { what, reason: "it is missing".to_owned() })?;
    if store.shards != asked {
        let keyspace = url.keyspace().to_owned();
        return Err(OpenError::OtherShards { keyspace, stored: store.shards, asked });
    }
    if made == Some(true) {
        tracing::info!(keyspace = url.keyspace(), store = %store.id, shards = asked, "store made");
    }
    Ok(store)
}

async fn select_store(session: &Session, serial: bool) -> Result<Option<StoreInfo>, OpenError> {
    let what = "the store's row";
    let mut select = Statement::new(include_str!("cql/select_store.cql"));
    if serial {
        select.set_consistency(scylla::statement::Consistency::LocalSerial);
    }
    let rows = session.query_unpaged(select, &[]).await.map_err(failed(what))?;
    let rows = rows.into_rows_result().map_err(failed(what))?;
    let row = rows.maybe_first_row::<(Uuid, i32)>().map_err(failed(what))?;
    Ok(row.map(|(id, shards)| StoreInfo { id, shards: u16::try_from(shards).unwrap_or_default() }))
}

async fn create_owners(
    session: &Session,
    url: &CassandraUrl,
    datacenter: &str,
    shards: u16,
) -> Result<(), OpenError> {
    let what = "the rows of owners";
    let select = include_str!("cql/select_owned_shards.cql");
    let rows = session
        .query_unpaged(select, &[])
        .await
        .map_err(failed(what))?
        .into_rows_result()
        .map_err(failed(what))?;
    let there =
        rows.rows::<(i32,)>().map_err(failed(what))?.collect::<Result<Vec<_>, _>>().map_err(failed(what))?;
    let mut insert = session.prepare(include_str!("cql/insert_owner.cql")).await.map_err(failed(what))?;
    insert.set_execution_profile_handle(Some(deciding(url, datacenter)));
    let missing = (0..i32::from(shards)).filter(|shard| !there.contains(&(*shard,)));
    // Written already or not makes no difference.
    futures::stream::iter(missing)
        .map(|shard| session.execute_unpaged(&insert, (shard,)))
        .buffer_unordered(AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await
        .map_err(failed(what))
}

/// Whether this program can work on the store in the keyspace of the session.
pub(super) async fn recognise(session: &Session, url: &CassandraUrl) -> Result<StoreInfo, OpenError> {
    let keyspace = || url.keyspace().to_owned();
    match layout(session, url.keyspace()).await? {
        None => Err(OpenError::Missing { keyspace: keyspace() }),
        Some(found) if found < newest() => {
            Err(OpenError::Older { keyspace: keyspace(), found, needed: newest() })
        }
        Some(found) if found > newest() => {
            Err(OpenError::Newer { keyspace: keyspace(), found, known: newest() })
        }
        Some(_) => {
            select_store(session, false).await?.ok_or_else(|| OpenError::Missing { keyspace: keyspace() })
        }
    }
}

/// Whether the cluster has the keyspace.
pub(super) async fn has_keyspace(session: &Session, url: &CassandraUrl) -> Result<bool, OpenError> {
    let what = "the keyspace";
    let select = include_str!("cql/select_keyspace.cql");
    let found = session.query_unpaged(select, (url.keyspace(),)).await.map_err(failed(what))?;
    Ok(found.into_rows_result().map_err(failed(what))?.rows_num() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_in_order_and_hold_plain_statements() {
        assert!(MIGRATIONS.iter().map(|(version, ..)| *version).eq(1..=newest()));
        let all: Vec<Vec<String>> = MIGRATIONS.map(|(.., cql)| statements(cql).collect()).into();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [9, 2, 1]);
        // Whatever was done before it was cut short may be done again.
        let plain = |s: &String| {
            !s.contains(';')
                && (s.starts_with("CREATE TABLE IF NOT EXISTS ") || s.starts_with("DROP TABLE IF EXISTS "))
        };
        assert!(all.iter().flatten().all(plain), "{all:?}");
    }
}
