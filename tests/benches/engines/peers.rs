//! What Tillstream is measured beside, on the same engines in the same run: one lightweight transaction per event, one plain
//! insert per event, and cqrs-es with postgres-es. Everything is durable before the call returns.

use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, CqrsFramework, DomainEvent};
use futures::FutureExt;
use postgres_es::{PostgresCqrs, PostgresEventRepository};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tests::bench::{Line, callers};
use tests::engines::{engines, fresh_name};
use uuid::Uuid;

use crate::PAYLOAD;

/// A keyspace with one table of events.
pub(crate) struct Rows {
    session: Arc<Session>,
    keyspace: String,
    conditional: PreparedStatement,
    plain: PreparedStatement,
    last: PreparedStatement,
}

impl Rows {
    pub(crate) async fn make() -> Self {
        let session = SessionBuilder::new().known_node(&engines().cassandra).build().await.unwrap();
        let keyspace = fresh_name();
        let class = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}";
        let ddl = |text: String| async { session.query_unpaged(text, ()).await.unwrap() };
        ddl(format!("CREATE KEYSPACE {keyspace} WITH replication = {class}")).await;
        let columns = "stream text, version bigint, payload text, PRIMARY KEY (stream, version)";
        ddl(format!("CREATE TABLE {keyspace}.events ({columns}) WITH CLUSTERING ORDER BY (version DESC)"))
            .await;
        let insert = format!("INSERT INTO {keyspace}.events (stream, version, payload) VALUES (?, ?, ?)");
        let mut conditional = session.prepare(format!("{insert} IF NOT EXISTS")).await.unwrap();
        conditional.set_serial_consistency(Some(SerialConsistency::LocalSerial));
        let mut plain = session.prepare(insert).await.unwrap();
        let select = format!("SELECT version FROM {keyspace}.events WHERE stream = ? LIMIT 1");
        let mut last = session.prepare(select).await.unwrap();
        for statement in [&mut conditional, &mut plain, &mut last] {
            statement.set_consistency(Consistency::LocalQuorum);
        }
        Self { session: Arc::new(session), keyspace, conditional, plain, last }
    }

    /// Events of streams of their own.
    pub(crate) async fn spread(&self, count: usize, conditional: bool) -> Line {
        let session = Arc::clone(&self.session);
        let statement = if conditional { self.conditional.clone() } else { self.plain.clone() };
        let payload: Arc<str> = "x".repeat(PAYLOAD).into();
        callers(count, move |_| {
            let (session, statement, payload) = (session.clone(), statement.clone(), payload.clone());
            async move {
                let stream = Uuid::now_v7().to_string();
                session.execute_unpaged(&statement, (stream, 1_i64, &*payload)).await.unwrap();
            }
        })
        .await
    }

    /// Events of one stream: everybody reads its last version and tries the next one until it wins.
    pub(crate) async fn hot(&self, count: usize) -> Line {
        let session = Arc::clone(&self.session);
        let (insert, last) = (self.conditional.clone(), self.last.clone());
        let payload: Arc<str> = "x".repeat(PAYLOAD).into();
        let stream: Arc<str> = Uuid::now_v7().to_string().into();
        callers(count, move |_| {
            let (session, insert, last) = (session.clone(), insert.clone(), last.clone());
            let (payload, stream) = (payload.clone(), stream.clone());
            async move {
                loop {
                    let row = session.execute_unpaged(&last, (&*stream,)).await.unwrap();
                    let row = row.into_rows_result().unwrap().maybe_first_row::<(i64,)>().unwrap();
                    let next = row.map_or(1, |(version,)| version + 1);
                    let answer = session.execute_unpaged(&insert, (&*stream, next, &*payload)).await;
                    // A time-out under contention is one more lost attempt.
                    let Ok(answer) = answer else { continue };
                    let rows = answer.into_rows_result().unwrap();
                    let applied = rows.column_specs().get_by_name("[applied]").unwrap().0;
                    let first: scylla::value::Row = rows.first_row().unwrap();
                    if first.columns[applied].as_ref().and_then(scylla::value::CqlValue::as_boolean)
                        == Some(true)
                    {
                        return;
                    }
                }
            }
        })
        .await
    }

    pub(crate) async fn drop(self) {
        self.session.query_unpaged(format!("DROP KEYSPACE {}", self.keyspace), ()).await.unwrap();
    }
}

/// A counter of orders, as a user of cqrs-es would write it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Peer {
    placed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Placed {
    payload: String,
}

impl DomainEvent for Placed {
    fn event_type(&self) -> String {
        "Placed".into()
    }

    fn event_version(&self) -> String {
        "1.0".into()
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("never")]
struct Never;

impl Aggregate for Peer {
    const TYPE: &'static str = "Peer";
    type Command = Arc<str>;
    type Event = Placed;
    type Error = Never;
    type Services = ();

    async fn handle(&mut self, command: Arc<str>, _: &(), sink: &EventSink<Self>) -> Result<(), Never> {
        sink.write(Placed { payload: command.to_string() }, self).await;
        Ok(())
    }

    fn apply(&mut self, _: Placed) {
        self.placed += 1;
    }
}

/// cqrs-es with postgres-es over a schema of its own.
pub(crate) struct PostgresEs {
    pool: PgPool,
    schema: String,
    framework: Arc<PostgresCqrs<Peer>>,
}

impl PostgresEs {
    pub(crate) async fn make() -> Self {
        let schema = fresh_name();
        let path = format!("SET search_path TO {schema}");
        let pool = PgPoolOptions::new().max_connections(32).after_connect(move |connection, _| {
            let path = path.clone();
            async move { sqlx::Executor::execute(connection, path.as_str()).await.map(drop) }.boxed()
        });
        let pool = pool.connect(&engines().postgres).await.unwrap();
        // The table of postgres-es's own db/init.sql.
        let ddl = format!(
            "CREATE SCHEMA {schema}; CREATE TABLE {schema}.events (aggregate_type text NOT NULL, aggregate_id text NOT NULL, \
             sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, event_version text NOT NULL, \
             payload json NOT NULL, metadata json NOT NULL, PRIMARY KEY (aggregate_type, aggregate_id, sequence))"
        );
        sqlx::raw_sql(&ddl).execute(&pool).await.unwrap();
        let repository = PostgresEventRepository::new(pool.clone());
        let store = cqrs_es::persist::PersistedEventStore::new_event_store(repository);
        let framework = Arc::new(CqrsFramework::new(store, Vec::new(), ()));
        Self { pool, schema, framework }
    }

    /// Commands on aggregates of their own, or all on one; a conflict is tried again.
    pub(crate) async fn run(&self, count: usize, hot: bool) -> Line {
        let framework = Arc::clone(&self.framework);
        let payload: Arc<str> = "x".repeat(PAYLOAD).into();
        let one: Arc<str> = Uuid::now_v7().to_string().into();
        callers(count, move |_| {
            let (framework, payload, one) = (framework.clone(), payload.clone(), one.clone());
            async move {
                let id = if hot { one.to_string() } else { Uuid::now_v7().to_string() };
                while framework.execute(&id, payload.clone()).await.is_err() {}
            }
        })
        .await
    }

    pub(crate) async fn drop(self) {
        let ddl = format!("DROP SCHEMA {} CASCADE", self.schema);
        sqlx::raw_sql(&ddl).execute(&self.pool).await.unwrap();
    }
}
