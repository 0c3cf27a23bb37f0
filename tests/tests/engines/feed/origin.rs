//! Whether the topic carries the events of the log that is there.

use std::sync::Arc;

use domain::position::{Position, Seen};
use infra::kafka::{self, Error};
use tests::contract::feed::{SHARDS, Store};
use tests::contract::history::{History, Story};
use tests::contract::read_store::origin::copies;

use super::world::World;

/// A topic whose last events the log doesn't hold, or holds otherwise, or that are another store's.
// proves: EVT-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_the_log_contradicts_is_refused_by_name() {
    let copies = copies().await;
    let world = World::start(copies.log.clone()).await;
    kafka::compare(&world.url, copies.log.as_ref()).await.unwrap();
    world.publish(copies.history.frames.clone());
    let mut heads = Seen::none(SHARDS);
    copies.history.heads().iter().for_each(|head| heads.advance(*head));
    world.published(&heads).await;
    kafka::compare(&world.url, copies.log.as_ref()).await.unwrap();

    let ahead = kafka::compare(&world.url, copies.older.as_ref()).await.unwrap_err();
    assert!(matches!(ahead, Error::Ahead { .. }), "{ahead}");
    assert!(ahead.to_string().contains(world.url.topic()), "{ahead}");
    let mut history = History::going_on(Arc::clone(&copies.older)).await;
    while history.heads().iter().any(|now| now.n <= heads.last(now.shard)) {
        history.shop(&[Story::Paid]).await;
    }
    let other = kafka::compare(&world.url, copies.older.as_ref()).await.unwrap_err();
    assert!(matches!(other, Error::OtherEvent { position: Position { n: 1.., .. }, .. }), "{other}");

    let foreign = Store::new();
    let refused = kafka::compare(&world.url, foreign.log.as_ref()).await.unwrap_err();
    let (theirs, ours) = (copies.log.store().id, foreign.log.store().id);
    assert_eq!(refused, Error::OtherLog { topic: world.url.topic().to_owned(), theirs, ours });
    world.end().await;
}
