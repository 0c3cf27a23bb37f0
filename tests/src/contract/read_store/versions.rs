//! A projection whose mapping changed is built anew.

use domain::position::Seen;

use super::poison::Poisoned;
use super::{ReadStoreFactory, SHARDS, applier, digests, expected, fixture};

/// Its rows and checkpoint are dropped, nobody else's.
// proves: P5
pub async fn another_version_is_built_anew(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let store = factory.fresh().await;
    let mut projections = factory.projections();
    let mut before = applier(&store, &projections).await;
    before.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    drop(before);
    projections[0] = Poisoned::of_version(projections[0].clone(), projections[0].version() + 1);
    let mut after = applier(&store, &projections).await;
    assert_eq!(*after.lanes()[0].seen(), Seen::none(SHARDS));
    after.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    assert_eq!(digests(&store, &projections).await, expected);
}
