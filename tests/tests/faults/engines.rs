//! `kill -9` of every engine, PostgreSQL restarted in mid-batch, a topic and an index deleted.

use std::time::Duration;

use rand::RngExt as _;
use tests::engine_set::{Engine, EngineSet};

use crate::world::{World, play};

// proves: OPS-3, P3, P5, P6, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_engine_is_killed_and_comes_back() {
    play("kill -9 of every engine", 2, async |world| {
        for engine in Engine::ALL {
            world
                .survives(&format!("kill -9 of {}", engine.name()), async |world, _| {
                    some_time(world).await;
                    world.engine("kill -9", engine, EngineSet::kill);
                    some_time(world).await;
                    world.engine("start", engine, EngineSet::start);
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
            .survives("PostgreSQL restarted in mid-batch", async |world, _| {
                some_time(world).await;
                world.engine("stop", Engine::Postgres, EngineSet::stop);
                world.engine("start", Engine::Postgres, EngineSet::start);
            })
            .await;
        world
            .survives("the topic deleted", async |world, workload| {
                some_time(world).await;
                let names = world.cluster.place().names().expect("on engines");
                names.delete_topic().await.expect("it is deleted");
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

/// So that the fault comes at any moment; the seed says when.
async fn some_time(world: &mut World) {
    tokio::time::sleep(Duration::from_millis(world.dice.random_range(0..1_500))).await;
}
