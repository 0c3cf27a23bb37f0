//! `kill -9` of every engine, PostgreSQL restarted in mid-batch, a topic and an index deleted.

use std::time::Duration;

use rand::RngExt as _;
use sqlx::{Connection as _, PgConnection, PgPool};
use tests::engine_set::{Engine, EngineSet};
use tests::server::eventually;
use tests::shop::SETTLES_WITHIN;

use crate::steps::STEPS;
use crate::world::{World, play};

// proves: OPS-3, P3, P5, P6, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_engine_is_killed_at_every_step_of_an_order() {
    play("kill -9 of every engine at every step", 2, async |world| {
        for engine in Engine::ALL {
            world
                .survives(&format!("kill -9 of {}", engine.name()), async |world, workload| {
                    for step in STEPS {
                        let ordered = step.reach(world, workload).await;
                        world.engine("kill -9", engine, EngineSet::kill);
                        some_time(world).await;
                        world.engine("start", engine, EngineSet::start);
                        ordered.acknowledged().await;
                    }
                })
                .await;
        }
    })
    .await;
}

// proves: OPS-3, P6, P7, EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgresql_and_a_lost_topic_and_a_lost_index_lose_nothing() {
    play("restarted, and deleted", 2, async |world| {
        world
            .survives("PostgreSQL restarted in mid-batch", async |world, workload| {
                for _ in 0..3 {
                    let held_up = hold_up_a_batch(world).await;
                    world.engine("stop", Engine::Postgres, EngineSet::stop);
                    drop(held_up);
                    world.engine("start", Engine::Postgres, EngineSet::start);
                    workload.more(5).await;
                }
            })
            .await;
        world
            .survives("the topic deleted", async |world, workload| {
                some_time(world).await;
                let names = world.cluster.place().names().expect("on engines");
                names.delete_topics().await.expect("it is deleted");
                world.round.tell("the topic is deleted");
                workload.more(10).await;
            })
            .await;
        world
            .survives("the search indices deleted", async |world, workload| {
                some_time(world).await;
                let names = world.cluster.place().names().expect("on engines");
                names.delete_indices().await.expect("they are deleted");
                world.round.tell("the indices are deleted");
                workload.more(10).await;
            })
            .await;
    })
    .await;
}

/// Waits until a batch of orders stands still in the middle of its transaction: its checkpoint is moved, and a row that it wants to
/// write is locked by the connection that is answered.
async fn hold_up_a_batch(world: &World) -> PgConnection {
    let schema = world.cluster.place().names().expect("on engines").name();
    let url = &world.set.engines.postgres;
    let mut holder = PgConnection::connect(url).await.expect("PostgreSQL answers");
    let lock = format!("BEGIN; LOCK TABLE {schema}.orders IN EXCLUSIVE MODE");
    sqlx::raw_sql(&lock).execute(&mut holder).await.expect("the table can be locked");
    let looker = PgPool::connect(url).await.expect("PostgreSQL answers");
    let question = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO %{schema}%orders%'"
    );
    eventually("a batch to wait for a locked row", SETTLES_WITHIN, || async {
        let waiting: i64 = sqlx::query_scalar(&question).fetch_one(&looker).await.ok()?;
        (waiting > 0).then_some(())
    })
    .await;
    world.round.tell("a batch waits in the middle of its transaction");
    holder
}

/// So that the fault comes at any moment; the seed says when.
async fn some_time(world: &mut World) {
    tokio::time::sleep(Duration::from_millis(world.dice.random_range(0..1_500))).await;
}
