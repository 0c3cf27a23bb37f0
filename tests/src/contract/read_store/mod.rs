//! The contract of [`RowStore`], together with the applier above it. [`read_store_contract!`](crate::read_store_contract) makes a
//! test of every case; the cases are generic over a [`ReadStoreFactory`], so that every backend passes the same ones.

pub mod consuming;
pub mod faults;
pub mod origin;
pub mod parking;
pub mod poison;
pub mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::event::RecordedEvent;
use domain::frame::FrameId;
use domain::merkle::Hash;
use domain::ports::clock::SystemClock;
use domain::ports::log::{EventLog, StoreInfo};
use infra::sqlite::log::SqliteLog;
use projections::engine::applier::{Applier, Limits};
use projections::engine::model::Projection;
use projections::engine::store::RowStore;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use tempfile::TempDir;
use uuid::Uuid;

use super::history::{History, Story};

/// Some store's log, for cases that read none.
pub const LOG: StoreInfo = StoreInfo { id: Uuid::from_u128(7), shards: SHARDS };

/// Some frame, for batches that aren't made from a log.
pub const FRAME: FrameId = FrameId { number: 1, hash: [1; 32] };

/// The shards of the log that the cases read.
pub const SHARDS: u16 = 4;

/// Makes stores for the cases.
#[async_trait]
pub trait ReadStoreFactory: Send + Sync {
    /// What the store holds. Not empty; the first one reads orders or products.
    fn projections(&self) -> Vec<Arc<dyn Projection>>;

    /// The stream type whose events the first projection certainly reads.
    fn kind(&self) -> &'static str;

    /// An empty store.
    async fn fresh(&self) -> Arc<dyn RowStore>;

    /// Fills other versions of projections beside the live ones of the store made last, and swaps them in.
    async fn renew(&self, projections: &[Arc<dyn Projection>], log: Arc<dyn EventLog>);

    /// Closes the store and opens it again.
    async fn reopen(&self, store: Arc<dyn RowStore>) -> Arc<dyn RowStore>;
}

/// A log with a shop's history.
pub struct Fixture {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// What stands in it.
    pub history: History,
    _dir: TempDir,
}

/// A history in which every story is told some times.
pub async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(dir.path(), SHARDS).unwrap());
    let mut history = History::new(Arc::clone(&log));
    let stories = [Story::Delivered, Story::Paid, Story::Declined, Story::OutOfStock];
    history.shop(&[stories, stories, stories].concat()).await;
    Fixture { log, history, _dir: dir }
}

/// An applier with small transactions, so that a history takes many of them.
pub async fn applier(
    store: &Arc<dyn RowStore>,
    projections: &[Arc<dyn Projection>],
    log: StoreInfo,
) -> Applier {
    let limits = Limits { batch_events: 16, ..Limits::default() };
    let clock = Arc::new(SystemClock);
    Applier::open(Arc::clone(store), projections, log, clock, limits).await.unwrap()
}

/// The digests of all projections.
pub async fn digests(
    store: &Arc<dyn RowStore>,
    projections: &[Arc<dyn Projection>],
) -> BTreeMap<&'static str, Hash> {
    store.publish().await.unwrap();
    let mut all = BTreeMap::new();
    for projection in projections {
        all.insert(projection.name(), store.digest(projection).await.unwrap());
    }
    all
}

/// The digests after the plain history, applied in order of decision.
pub async fn expected(factory: &dyn ReadStoreFactory, fixture: &Fixture) -> BTreeMap<&'static str, Hash> {
    let (store, projections) = (factory.fresh().await, factory.projections());
    let mut applier = applier(&store, &projections, fixture.log.store()).await;
    applier.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    digests(&store, &projections).await
}

/// The events in another interleaving of the shards, each shard's own order kept.
pub fn interleaved(events: &[Arc<RecordedEvent>], rng: &mut SmallRng) -> Vec<Arc<RecordedEvent>> {
    let mut shards: Vec<Vec<Arc<RecordedEvent>>> = vec![Vec::new(); usize::from(SHARDS)];
    for event in events.iter().rev() {
        shards[usize::from(event.position.shard.0)].push(Arc::clone(event));
    }
    let mut mixed = Vec::with_capacity(events.len());
    while mixed.len() < events.len() {
        let shard = rng.random_range(0..shards.len());
        // Sometimes a long run of one shard, sometimes one event.
        for _ in 0..rng.random_range(1..20) {
            mixed.extend(shards[shard].pop());
        }
    }
    mixed
}

/// The random numbers of a numbered run, which a failure can be repeated with.
#[must_use]
pub fn random(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

/// Cuts events into pieces of random length.
pub fn pieces(events: &[Arc<RecordedEvent>], rng: &mut impl Rng) -> Vec<Vec<Arc<RecordedEvent>>> {
    let mut rest = events;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rng.random_range(1..=rest.len().min(40)));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}

/// Makes a test of every case of the contract. `$factory` is an expression for a new [`ReadStoreFactory`].
#[macro_export]
macro_rules! read_store_contract {
    ($factory:expr) => {
        $crate::read_store_contract!(@cases $factory, consuming:
            any_interleaving_gives_the_same_digest,
            repeats_and_gaps_give_the_same_digest,
            two_consumers_at_once_are_safe,
            a_store_opened_again_goes_on_from_its_checkpoint,
            a_checkpoint_moves_only_from_where_it_stands
        );
        $crate::read_store_contract!(@cases $factory, parking:
            a_poison_event_parks_its_stream_only,
            what_the_store_refuses_is_found_and_parked,
            redrive_stops_at_the_event_that_still_fails,
            a_letter_follows_only_a_parked_stream,
            too_many_parked_streams_stop_the_projection
        );
        $crate::read_store_contract!(@cases $factory, faults:
            failing_storage_loses_and_doubles_nothing,
            what_was_not_published_is_applied_again
        );
        $crate::read_store_contract!(@cases $factory, origin:
            a_store_of_another_log_is_refused_by_name,
            what_was_made_from_the_log_stays,
            a_store_ahead_of_its_log_is_built_anew,
            a_store_of_frames_that_the_log_has_otherwise_is_built_anew
        );
        $crate::read_store_contract!(@cases $factory, versions:
            another_version_is_filled_beside_and_swapped
        );
    };
    (@cases $factory:expr, $module:ident: $($case:ident),+) => {
        mod $module {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::contract::read_store::$module::$case(&$factory).await;
                }
            )+
        }
    };
}
