//! The same order written by hand on PostgreSQL: create, reserve stock, charge, ship, paid; a declined one is compensated. Every step
//! is a transaction with fsync, and so is the provider's answer. Once with a transaction a step and the order handed straight to the
//! next task, 32 of them at once; once with an outbox and a worker a stage that moves up to 100 orders a transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgPool, PgPoolOptions};
use tests::bench::callers;
use tests::engines::fresh_name;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::process::{Processes, family};
use crate::{CALLERS, GIVE_UP, Run, method};

/// Orders that the chain has under way.
const IN_FLIGHT: usize = 32;
/// Orders that a stage moves in one transaction.
const BATCH: i64 = 100;

const PLACE: &str = "INSERT INTO orders VALUES ($1, $2, $3, 'pending', now())";
const RESERVE: &str =
    "WITH taken AS (UPDATE stock SET reserved = reserved + 1 WHERE product = $2 AND reserved < on_hand)
                       UPDATE orders SET status = 'stock_reserved' WHERE id = $1";
const INTEND: &str = "INSERT INTO payments VALUES ($1, 'initiated')";
const CHARGE: &str = "INSERT INTO provider_charges VALUES ($1, $2) ON CONFLICT DO NOTHING";
const CAPTURED: &str = "UPDATE payments SET status = 'captured' WHERE order_id = $1";
const SHIP: &str = "WITH booked AS (INSERT INTO shipments VALUES ($1))
                    UPDATE orders SET status = 'paid', ended = now() WHERE id = $1";
const DECLINED: &str = "WITH back AS (UPDATE stock SET reserved = reserved - 1 WHERE product = $2),
                             declined AS (UPDATE payments SET status = 'declined' WHERE order_id = $1)
                        UPDATE orders SET status = 'cancelled', ended = now() WHERE id = $1";

/// The stages of the outbox; the last one ends the order.
const STAGES: [&str; 4] = [
    "UPDATE stock SET reserved = reserved + n FROM
        (SELECT product, count(*) n FROM orders WHERE id = ANY ($1) GROUP BY product) taken WHERE stock.product = taken.product",
    "INSERT INTO payments SELECT unnest($1::uuid[]), 'initiated'",
    "INSERT INTO provider_charges SELECT id, method <> 'tok_declined' FROM orders WHERE id = ANY ($1) ON CONFLICT DO NOTHING",
    "WITH outcome AS (SELECT order_id, captured FROM provider_charges WHERE order_id = ANY ($1)),
          paid AS (UPDATE payments p SET status = CASE WHEN captured THEN 'captured' ELSE 'declined' END
                   FROM outcome o WHERE o.order_id = p.order_id),
          booked AS (INSERT INTO shipments SELECT order_id FROM outcome WHERE captured),
          back AS (UPDATE stock s SET reserved = reserved - n FROM
                   (SELECT product, count(*) n FROM orders JOIN outcome ON id = order_id WHERE NOT captured GROUP BY product) b
                   WHERE s.product = b.product)
     UPDATE orders SET status = CASE WHEN captured THEN 'paid' ELSE 'cancelled' END, ended = now() FROM outcome WHERE id = order_id",
];

pub(crate) async fn run(url: &str) {
    chain(&Database::make(url).await).await;
    outbox(&Database::make(url).await).await;
}

struct Database {
    pool: PgPool,
    processes: Vec<(String, Vec<u32>)>,
}

impl Database {
    async fn make(url: &str) -> Self {
        let schema = fresh_name();
        let path = format!("SET search_path TO {schema}");
        let pool = PgPoolOptions::new().max_connections(96).min_connections(96).after_connect(move |c, _| {
            let path = path.clone();
            Box::pin(async move { sqlx::query(&path).execute(c).await.map(|_| ()) })
        });
        let admin = PgPool::connect(url).await.unwrap();
        sqlx::query(&format!("CREATE SCHEMA {schema}")).execute(&admin).await.unwrap();
        let pool = pool.connect(url).await.unwrap();
        sqlx::raw_sql(include_str!("by_hand.sql")).execute(&pool).await.unwrap();
        let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&pool).await.unwrap();
        assert_eq!(fsync, "on");
        let postmaster: i32 = sqlx::query_scalar(
            "SELECT (regexp_split_to_array(pg_read_file('postmaster.pid'), '\n'))[1]::int",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        let postgres = family(postmaster.cast_unsigned());
        let processes = vec![
            ("program and load".to_owned(), vec![std::process::id()]),
            ("postgres".to_owned(), postgres),
        ];
        Self { pool, processes }
    }

    /// One step of one order, in a transaction of its own.
    async fn step(&self, sql: &'static str, order: Uuid, product: i32) {
        let query = sqlx::query(sql).bind(order);
        let query = if sql.contains("$2") { query.bind(product) } else { query };
        query.execute(&self.pool).await.unwrap();
    }

    /// Has callers place orders, and waits until the last one has ended.
    async fn measure(
        &self,
        placed: impl Fn(Uuid, i32, bool) + Clone + Send + Sync + 'static,
        outbox: bool,
    ) -> Run {
        let processes = Processes::now(self.processes.clone());
        let next = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let (pool, counted) = (self.pool.clone(), Arc::clone(&next));
        let accepting = callers(CALLERS, move |_| {
            let (pool, next, placed) = (pool.clone(), Arc::clone(&counted), placed.clone());
            async move {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let (order, product) = (Uuid::now_v7(), i32::try_from(n % 64).unwrap());
                let mut transaction = pool.begin().await.unwrap();
                let query = sqlx::query(PLACE).bind(order).bind(product).bind(method(n));
                query.execute(&mut *transaction).await.unwrap();
                if outbox {
                    let tell = sqlx::query("INSERT INTO outbox (stage, order_id) VALUES (0, $1)").bind(order);
                    tell.execute(&mut *transaction).await.unwrap();
                }
                transaction.commit().await.unwrap();
                placed(order, product, method(n) == "tok_declined");
            }
        })
        .await;
        let (accepted, closed) = (next.load(Ordering::Relaxed), Instant::now());
        let open = "SELECT count(*) FROM orders WHERE ended IS NULL";
        while sqlx::query_scalar::<_, i64>(open).fetch_one(&self.pool).await.unwrap() > 0 {
            assert!(closed.elapsed() < GIVE_UP, "orders are still open");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Run { accepting, accepted, took: start.elapsed(), drain: closed.elapsed(), used: processes.used() }
    }
}

/// One transaction a step, handed on in memory.
async fn chain(database: &Database) {
    let (hand, mut handed) = mpsc::unbounded_channel::<(Uuid, i32, bool)>();
    let steps = Arc::new(Database { pool: database.pool.clone(), processes: Vec::new() });
    let worker = tokio::spawn(async move {
        let room = Arc::new(Semaphore::new(IN_FLIGHT));
        while let Some((order, product, declined)) = handed.recv().await {
            let (room, steps) = (Arc::clone(&room).acquire_owned().await.unwrap(), Arc::clone(&steps));
            tokio::spawn(async move {
                steps.step(RESERVE, order, product).await;
                steps.step(INTEND, order, product).await;
                let charge = sqlx::query(CHARGE).bind(order).bind(!declined);
                charge.execute(&steps.pool).await.unwrap();
                if declined {
                    steps.step(DECLINED, order, product).await;
                } else {
                    steps.step(CAPTURED, order, product).await;
                    steps.step(SHIP, order, product).await;
                }
                drop(room);
            });
        }
    });
    let place = move |order, product, declined| hand.send((order, product, declined)).unwrap();
    database.measure(place, false).await.print("By hand, one transaction a step");
    worker.abort();
}

/// An outbox, and a worker a stage.
async fn outbox(database: &Database) {
    let stop = CancellationToken::new();
    let workers: Vec<_> = (0..STAGES.len())
        .map(|stage| tokio::spawn(work(database.pool.clone(), stage, stop.clone())))
        .collect();
    database.measure(|_, _, _| {}, true).await.print("By hand, an outbox and batches of 100");
    stop.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
}

async fn work(pool: PgPool, stage: usize, stop: CancellationToken) {
    let number = i32::try_from(stage).unwrap();
    while !stop.is_cancelled() {
        let mut transaction = pool.begin().await.unwrap();
        let taken: Vec<Uuid> = sqlx::query_scalar(
            "DELETE FROM outbox WHERE stage = $1 AND seq IN (SELECT seq FROM outbox WHERE stage = $1 ORDER BY seq LIMIT $2)
             RETURNING order_id",
        )
        .bind(number)
        .bind(BATCH)
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
        if taken.is_empty() {
            transaction.rollback().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        sqlx::query(STAGES[stage]).bind(&taken).execute(&mut *transaction).await.unwrap();
        if stage + 1 < STAGES.len() {
            let on = sqlx::query("INSERT INTO outbox (stage, order_id) SELECT $1, unnest($2::uuid[])");
            on.bind(number + 1).bind(&taken).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }
}
