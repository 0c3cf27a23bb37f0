//! A keyspace without a log beside what was made from one: nobody takes it for a new store.

use domain::ports::log::LogReader;

use crate::application::Projections;
use crate::cassandra::{CassandraLog, OpenError};
use crate::config::Distributed;
use crate::elasticsearch;
use crate::feed::find_heads;
use crate::kafka;
use crate::postgres::{Database, PostgresReadStore};

/// Refuses to make a log where something else tells that there was one. Makes nothing.
///
/// # Errors
/// When there was one, or a server can't be asked.
pub(super) async fn refuse(projections: &Projections, urls: &Distributed<'_>) -> anyhow::Result<()> {
    match CassandraLog::open(urls.log).await {
        Err(OpenError::Missing { .. }) => {}
        // Whatever else is the matter with it, it is there.
        _ => return Ok(()),
    }
    let rows = PostgresReadStore::new(Database::connect(urls.read).await?);
    let witness = if rows.was_used().await? {
        Some(format!("the schema {} of {}", urls.read.schema(), urls.read))
    } else if let Some(index) = elasticsearch::made_from_a_log(urls.search, &projections.documents).await? {
        Some(format!("the search index {index}"))
    } else if kafka::carries_events(urls.feed).await? {
        Some(format!("the topic {}", urls.feed.topic()))
    } else {
        None
    };
    match witness {
        None => Ok(()),
        Some(witness) => anyhow::bail!(
            "{} holds no log, but {witness} was made from one: put the keyspace back, or name another keyspace, topic, schema and prefix \
             for a new store; nothing was changed",
            urls.log
        ),
    }
}

/// Refuses a log without any event beside read models of events: it was emptied.
///
/// # Errors
/// When it was, or the database can't be asked.
pub(super) async fn refuse_emptied(rows: &PostgresReadStore, log: &dyn LogReader) -> anyhow::Result<()> {
    // In this order: a new log may get its first events meanwhile.
    if rows.has_applied().await? && find_heads(log).await?.iter().all(|head| head.n == 0) {
        anyhow::bail!(
            "the log holds no event, but the schema {} has read models of some: put the rows of the log back, or name another schema in \
             read.url; nothing was changed",
            rows.database().schema()
        );
    }
    Ok(())
}
