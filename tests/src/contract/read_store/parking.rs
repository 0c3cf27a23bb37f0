//! A poison event parks its stream, in order, and nothing else; redrive brings it back.

use std::sync::Arc;

use domain::event::RecordedEvent;
use projections::engine::model::Projection;
use projections::engine::redrive::redrive;
use projections::engine::store::{Batch, DeadLetter, Move, Part, StoreError};

use super::poison::{Failure, Poisoned};
use super::{FRAME, Fixture, ReadStoreFactory, applier, digests, expected, fixture, pieces, random};

/// The events of a stream that has several, which the first projection reads.
fn victim(factory: &dyn ReadStoreFactory, fixture: &Fixture) -> Vec<Arc<RecordedEvent>> {
    let events = &fixture.history.events;
    let of_kind = events.iter().filter(|e| e.stream.kind() == factory.kind() && e.version == 2);
    let stream = of_kind.map(|e| e.stream.clone()).next_back().unwrap();
    events.iter().filter(|e| e.stream == stream).cloned().collect()
}

fn poisoned(
    factory: &dyn ReadStoreFactory,
    failure: Failure,
    event: &RecordedEvent,
) -> (Arc<Poisoned>, Vec<Arc<dyn Projection>>) {
    let mut projections = factory.projections();
    let poisoned = Poisoned::new(Arc::clone(&projections[0]), failure, [event.id]);
    projections[0] = poisoned.clone();
    (poisoned, projections)
}

async fn parks_and_comes_back(factory: &dyn ReadStoreFactory, failure: Failure) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let victim = victim(factory, &fixture);
    let (poison, projections) = poisoned(factory, failure, &victim[0]);
    let store = factory.fresh().await;
    let mut applier = applier(&store, &projections, fixture.log.store()).await;
    for piece in pieces(&fixture.history.events, &mut random(1)) {
        applier.apply(&piece, fixture.log.as_ref()).await.unwrap();
    }
    store.publish().await.unwrap();
    let name = projections[0].name();

    // The stream is parked, in order, with the bytes that the log holds.
    let loaded = store.load(name).await.unwrap();
    assert_eq!(loaded.parked, [(victim[0].stream.clone(), victim[0].version)]);
    assert_eq!(loaded.letters, victim.len() as u64);
    let letters = store.letters(name, &victim[0].stream, 100).await.unwrap();
    let events: Vec<_> = letters.iter().map(|letter| Arc::clone(&letter.event)).collect();
    assert_eq!(events, victim);
    assert!(!letters[0].follows && letters[1..].iter().all(|letter| letter.follows));
    assert!(!letters[0].reason.is_empty());

    // Applied + parked = log, and nothing else was held up.
    let applied: u64 = loaded.seen.positions().map(|p| p.n).sum();
    assert_eq!(applied, fixture.history.events.len() as u64);
    let found = digests(&store, &projections).await;
    for projection in &projections[1..] {
        assert_eq!(found[projection.name()], expected[projection.name()]);
    }
    assert_ne!(found[name], expected[name]);

    // Nothing comes back while the fault is there.
    let report = redrive(store.as_ref(), projections[0].as_ref()).await.unwrap();
    assert_eq!((report.streams, report.applied), (1, 0));
    assert_eq!(report.still_parked[0].position, victim[0].position);
    poison.correct();
    let report = redrive(store.as_ref(), projections[0].as_ref()).await.unwrap();
    assert_eq!((report.streams, report.applied), (1, victim.len() as u64));
    assert!(report.still_parked.is_empty());
    assert_eq!(digests(&store, &projections).await, expected);
    assert_eq!(store.load(name).await.unwrap().letters, 0);
}

/// The mapping fails.
// proves: EVT-4, P7
pub async fn a_poison_event_parks_its_stream_only(factory: &dyn ReadStoreFactory) {
    parks_and_comes_back(factory, Failure::Map).await;
}

/// The store refuses a row; the batch is bisected.
// proves: EVT-4, P7
pub async fn what_the_store_refuses_is_found_and_parked(factory: &dyn ReadStoreFactory) {
    parks_and_comes_back(factory, Failure::Store).await;
}

/// Events before it are applied, later ones stay parked.
// proves: EVT-4
pub async fn redrive_stops_at_the_event_that_still_fails(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let victim = victim(factory, &fixture);
    for failure in [Failure::Map, Failure::Store] {
        let mut projections = factory.projections();
        let inner = Arc::clone(&projections[0]);
        let poison = Poisoned::new(inner, failure, [victim[0].id, victim[1].id]);
        projections[0] = poison.clone();
        let store = factory.fresh().await;
        let mut applier = applier(&store, &projections, fixture.log.store()).await;
        applier.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
        poison.correct_one(victim[0].id);
        let report = redrive(store.as_ref(), projections[0].as_ref()).await.unwrap();
        assert_eq!(report.applied, 1, "{failure:?}");
        assert_eq!(report.still_parked[0].position, victim[1].position);
        poison.correct();
        let report = redrive(store.as_ref(), projections[0].as_ref()).await.unwrap();
        assert_eq!(report.applied, victim.len() as u64 - 1);
        assert_eq!(digests(&store, &projections).await, expected);
    }
}

/// A consumer that missed a redrive is told so.
// proves: EVT-4, P7
pub async fn a_letter_follows_only_a_parked_stream(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let projections = factory.projections();
    let store = factory.fresh().await;
    let applier = applier(&store, &projections, fixture.log.store()).await;
    let event = Arc::clone(&fixture.history.events[0]);
    let letter = DeadLetter {
        reason: "an earlier event of the stream is parked".into(),
        parked_at: event.time,
        follows: true,
        event: Arc::clone(&event),
    };
    let part = Part {
        projection: projections[0].name(),
        moves: vec![Move { shard: event.position.shard, from: 0, to: 1, frame: FRAME }],
        changes: vec![],
        letters: vec![letter],
    };
    // Somebody has redriven the stream meanwhile: the consumer must look again.
    let refused = store.apply(Batch { parts: vec![part] }).await;
    assert_eq!(refused, Err(StoreError::Moved(projections[0].name().to_owned())));
    assert_eq!(store.load(projections[0].name()).await.unwrap().seen, applier.low());
}

/// The projection is at fault, not its events.
// proves: EVT-4, P6
pub async fn too_many_parked_streams_stop_the_projection(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let of_kind = |e: &&Arc<RecordedEvent>| e.stream.kind() == factory.kind();
    let all: Vec<_> = fixture.history.events.iter().filter(of_kind).map(|e| e.id).collect();
    let mut projections = factory.projections();
    projections[0] = Poisoned::new(Arc::clone(&projections[0]), Failure::Map, all);
    let store = factory.fresh().await;
    let limits = projections::engine::applier::Limits { batch_events: 16, parked_streams_per_minute: 2 };
    let clock = Arc::new(domain::ports::clock::SystemClock);
    let opened = projections::engine::applier::Applier::open(
        store.clone(),
        &projections,
        fixture.log.store(),
        clock,
        limits,
    );
    let mut applier = opened.await.unwrap();
    applier.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    let lane = &applier.lanes()[0];
    assert!(lane.stopped().is_some_and(|stopped| stopped.reason.contains("more than 2 streams")));
    assert!(lane.parked_streams() <= 2);
    // It claims nothing that it hasn't done, and the others went on.
    let name = projections[0].name();
    let seen: u64 = lane.seen().positions().map(|p| p.n).sum();
    assert!(seen < fixture.history.events.len() as u64);
    let found = digests(&store, &projections).await;
    for projection in &projections[1..] {
        assert_eq!(found[projection.name()], expected[projection.name()]);
    }
    // Corrected and started again, it ends where it would have been.
    let projections = factory.projections();
    let mut again = super::applier(&store, &projections, fixture.log.store()).await;
    again.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    redrive(store.as_ref(), projections[0].as_ref()).await.unwrap();
    assert_eq!(digests(&store, &projections).await[name], expected[name]);
}
