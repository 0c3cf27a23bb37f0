//! Each event once, whatever the transport does.

use std::sync::Arc;

use projections::engine::applier::ApplyError;
use projections::engine::store::{Batch, Move, Part, StoreError};
use rand::RngExt;

use super::{FRAME, ReadStoreFactory, applier, digests, expected, fixture, interleaved, pieces, random};

/// Streams of several shards interleave freely.
// proves: P7
pub async fn any_interleaving_gives_the_same_digest(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    for seed in 0..8 {
        let (store, projections, mut rng) = (factory.fresh().await, factory.projections(), random(seed));
        let mut applier = applier(&store, &projections, fixture.log.store()).await;
        let mixed = interleaved(&fixture.history.events, &mut rng);
        for piece in pieces(&mixed, &mut rng) {
            applier.apply(&piece, fixture.log.as_ref()).await.unwrap();
        }
        assert_eq!(digests(&store, &projections).await, expected, "seed {seed}");
    }
}

/// Events come twice, and are missing at first.
// proves: P7
pub async fn repeats_and_gaps_give_the_same_digest(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    for seed in 0..8 {
        let (store, projections, mut rng) = (factory.fresh().await, factory.projections(), random(seed));
        let mut applier = applier(&store, &projections, fixture.log.store()).await;
        let mixed = interleaved(&fixture.history.events, &mut rng);
        let whole = mixed.len();
        for piece in pieces(&mixed, &mut rng) {
            // Every event twice, and some pieces first lost: a later one of the shard leaves a gap, or the last round brings it.
            if rng.random_bool(0.6) {
                applier.apply(&piece, fixture.log.as_ref()).await.unwrap();
                let again: Vec<_> = piece.iter().chain(&piece).cloned().collect();
                applier.apply(&again, fixture.log.as_ref()).await.unwrap();
            }
            let from = rng.random_range(0..whole);
            applier.apply(&mixed[from..(from + 1)], fixture.log.as_ref()).await.unwrap();
        }
        applier.apply(&mixed, fixture.log.as_ref()).await.unwrap();
        assert_eq!(digests(&store, &projections).await, expected, "seed {seed}");
    }
}

/// Both apply the whole history at the same time; whoever loses a checkpoint looks again.
// proves: P7
pub async fn two_consumers_at_once_are_safe(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let (store, projections) = (factory.fresh().await, factory.projections());
    // Both prepare the store before either applies anything.
    let consumers = [
        applier(&store, &projections, fixture.log.store()).await,
        applier(&store, &projections, fixture.log.store()).await,
    ];
    let tasks = (0..).zip(consumers).map(|(seed, mut applier)| {
        let (events, log) = (fixture.history.events.clone(), Arc::clone(&fixture.log));
        tokio::spawn(async move {
            for piece in pieces(&events, &mut random(seed)) {
                // Bounded: each round that loses means that the other one went on.
                for _ in 0..10_000 {
                    match applier.apply(&piece, log.as_ref()).await {
                        Ok(_) => break,
                        Err(ApplyError::Store(StoreError::Moved(_))) => applier.reload().await.unwrap(),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(digests(&store, &projections).await, expected);
}

/// What was published is there after closing; the rest is applied from there.
// proves: P6
pub async fn a_store_opened_again_goes_on_from_its_checkpoint(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let projections = factory.projections();
    let mut store = factory.fresh().await;
    let half = fixture.history.events.len() / 2;
    let mut before = applier(&store, &projections, fixture.log.store()).await;
    before.apply(&fixture.history.events[..half], fixture.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    let low = before.low();
    drop(before);
    store = factory.reopen(store).await;
    let mut after = applier(&store, &projections, fixture.log.store()).await;
    assert_eq!(after.low(), low);
    after.apply(&fixture.history.events[half..], fixture.log.as_ref()).await.unwrap();
    assert_eq!(digests(&store, &projections).await, expected);
}

/// A batch from another position changes nothing.
// proves: P7
pub async fn a_checkpoint_moves_only_from_where_it_stands(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let (store, projections) = (factory.fresh().await, factory.projections());
    let _prepared = applier(&store, &projections, fixture.log.store()).await;
    let projection = projections[0].name();
    let event = fixture.history.events.iter().find(|e| e.stream.kind() == factory.kind()).unwrap();
    let before = digests(&store, &projections).await;
    let part = Part {
        projection,
        moves: vec![Move { shard: event.position.shard, from: 5, to: 6, frame: FRAME }],
        changes: projections[0].map(event).unwrap(),
        letters: vec![],
    };
    let refused = store.apply(Batch { parts: vec![part] }).await;
    assert_eq!(refused, Err(StoreError::Moved(projection.to_owned())));
    assert_eq!(digests(&store, &projections).await, before);
}
