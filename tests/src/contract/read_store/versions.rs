//! A projection whose mapping changed is built beside the one that is live.

use projections::engine::store::StoreError;

use super::poison::Poisoned;
use super::{ReadStoreFactory, applier, digests, expected, fixture};

/// Its live rows stay as they are until the new ones have caught up; nobody else's are touched.
// proves: P5, QRY-2
pub async fn another_version_is_filled_beside_and_swapped(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let store = factory.fresh().await;
    let (half, rest) = fixture.history.events.split_at(fixture.history.events.len() / 2);
    let mut projections = factory.projections();
    let name = projections[0].name();
    let mut before = applier(&store, &projections, fixture.log.store()).await;
    before.apply(half, fixture.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    let live = store.load(name).await.unwrap();
    drop(before);

    projections[0] = Poisoned::of_version(projections[0].clone(), projections[0].version() + 1);
    let mut after = applier(&store, &projections, fixture.log.store()).await;
    assert_eq!(after.lanes()[0].mark(), live.mark(), "the live rows are what they were");
    assert!(after.lanes()[0].foreign().is_some());
    after.apply(rest, fixture.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    let untouched = store.load(name).await.unwrap();
    assert_eq!((untouched.mark(), untouched.letters), (live.mark(), 0));
    assert!(!after.look_again().await.unwrap(), "nothing was swapped in yet");
    let refused = projections::engine::redrive::redrive(store.as_ref(), projections[0].as_ref()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    for other in &projections[1..] {
        assert_ne!(store.digest(other).await.unwrap(), [0; 32]);
    }

    factory.renew(&projections, fixture.log.clone()).await;
    let renewed = after.look_again().await.unwrap();
    assert!(renewed && after.lanes()[0].foreign().is_none());
    let now = after.lanes()[0].mark();
    assert_ne!(now.generation, live.generation);
    assert!(live.seen.positions().all(|p| now.seen.last(p.shard) >= p.n), "nobody goes back in time");
    after.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    assert_eq!(digests(&store, &projections).await, expected);
}
