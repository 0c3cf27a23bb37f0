//! Which orders rest, asked of the read models beside the running server, and what the log holds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tests::engines::engines;
use tests::shop::Shop;

/// An order that waits for nothing but the warehouse, or for nothing at all.
const AT_REST: &str = "SELECT count(*) FROM orders WHERE status IN ('paid', 'cancelled', 'rejected')";
/// Events of the log that the events projection has applied.
const EVENTS: &str = "SELECT count(*) FROM events";

/// How often is looked.
const LOOK: Duration = Duration::from_millis(100);

/// Where the rows are.
pub(crate) enum Books {
    Embedded(PathBuf),
    PostgreSql(PgPool),
}

impl Books {
    pub(crate) fn of(shop: &Shop) -> Self {
        match shop.names() {
            None => Self::Embedded(shop.server.dir.clone()),
            Some(names) => {
                let path = format!("SET search_path TO {}", names.name());
                let pool = PgPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
                    let path = path.clone();
                    Box::pin(async move { sqlx::query(&path).execute(connection).await.map(|_| ()) })
                });
                Self::PostgreSql(pool.connect_lazy(&engines().postgres).unwrap())
            }
        }
    }

    async fn count(&self, question: &str) -> u64 {
        let count: i64 = match self {
            Self::Embedded(dir) => {
                open(&dir.join("read.db")).query_row(question, [], |row| row.get(0)).unwrap()
            }
            Self::PostgreSql(pool) => sqlx::query_scalar(question).fetch_one(pool).await.unwrap(),
        };
        count.cast_unsigned()
    }

    /// Waits until so many orders rest.
    pub(crate) async fn until_at_rest(&self, orders: u64, give_up: Duration) {
        let start = Instant::now();
        loop {
            let at_rest = self.count(AT_REST).await;
            if at_rest >= orders {
                return;
            }
            assert!(start.elapsed() < give_up, "{at_rest} of {orders} orders rest after {give_up:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How many events, and embedded also how many frames, there are.
    pub(crate) async fn history(&self) -> (u64, Option<u64>) {
        let frames = match self {
            Self::Embedded(dir) => {
                let count: i64 = open(&dir.join("log.db"))
                    .query_row("SELECT count(*) FROM log", [], |row| row.get(0))
                    .unwrap();
                Some(count.cast_unsigned())
            }
            Self::PostgreSql(_) => None,
        };
        (self.count(EVENTS).await, frames)
    }

    /// From `order.placed` to `order.paid`, by the events' own times, of the orders placed since.
    pub(crate) async fn placed_to_paid(&self, since: DateTime<Utc>) -> Vec<Duration> {
        let question = "SELECT paid.time, placed.time FROM events placed JOIN events paid
                        ON paid.stream_type = 'order' AND paid.stream_id = placed.stream_id AND paid.event_type = 'order.paid'
                        WHERE placed.stream_type = 'order' AND placed.event_type = 'order.placed'";
        let times: Vec<(DateTime<Utc>, DateTime<Utc>)> = match self {
            Self::Embedded(dir) => {
                let db = open(&dir.join("read.db"));
                let mut statement = db.prepare(question).unwrap();
                let time = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap();
                let rows = statement.query_map([], |row| Ok((time(row.get(0)?), time(row.get(1)?))));
                rows.unwrap().collect::<Result<_, _>>().unwrap()
            }
            Self::PostgreSql(pool) => sqlx::query_as(question).fetch_all(pool).await.unwrap(),
        };
        let took =
            |(paid, placed): &(DateTime<Utc>, DateTime<Utc>)| (*paid - *placed).to_std().unwrap_or_default();
        times.iter().filter(|(_, placed)| *placed >= since).map(took).collect()
    }
}

fn open(file: &std::path::Path) -> Connection {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db
}
