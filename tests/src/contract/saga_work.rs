//! The contract of [`SagaWork`] over the rows that the sagas' projection makes. [`saga_work_contract!`](crate::saga_work_contract) makes a
//! test of every case; the cases are generic over a [`SagaWorkFactory`], so that every backend passes the same ones.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::Duration;
use domain::Timestamp;
use domain::aggregate::EventSet;
use domain::event::RecordedEvent;
use domain::money::{Currency, Money};
use domain::ordering::order::EndReason;
use domain::payments::payment::{
    PaymentEvent, PaymentRefundSettled, PaymentRefunded, PaymentStatus, RefundReason,
};
use domain::ports::log::StoreInfo;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use projections::engine::model::Projection;
use projections::engine::store::{Batch, Move, Part, RowStore};
use sagas::engine::work::{Cursor, Lane, OpenWork};
use sagas::fulfilment::action::{Action, Outcome};
use sagas::fulfilment::events::{
    Compensating, DeadlineCleared, DeadlineSet, FulfilmentEvent, StepFinished, StepRequested, Waiting,
    WaitingFor,
};
use sagas::fulfilment::lanes;
use sagas::fulfilment::steps::StepName;
use sagas::projection::SagaProjection;
use sagas::standing::{SagaWork, StuckSaga};
use uuid::Uuid;

use super::read_store::{FRAME, LOG};

const ORDER: Uuid = Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0001);
pub(super) const PAYMENT: Uuid = Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0002);

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_735_689_600 + seconds, 0).unwrap()
}

/// Makes empty stores.
#[async_trait]
pub trait SagaWorkFactory: Send + Sync {
    /// An empty store and the work queue in it.
    async fn fresh(&self) -> (Arc<dyn RowStore>, Arc<dyn SagaWork>);

    /// Removes what was made.
    async fn remove(&self) {}
}

pub(super) struct Bench {
    pub(super) work: Arc<dyn SagaWork>,
    store: Arc<dyn RowStore>,
    applied: u64,
    versions: HashMap<StreamId, u64>,
}

impl Bench {
    pub(super) async fn new(factory: &dyn SagaWorkFactory) -> Self {
        let (store, work) = factory.fresh().await;
        let projection: Arc<dyn Projection> = Arc::new(SagaProjection);
        store.prepare(&[projection], StoreInfo { shards: 1, ..LOG }).await.unwrap();
        // Whoever applies has loaded before.
        store.load(sagas::projection::NAME).await.unwrap();
        Self { work, store, applied: 0, versions: HashMap::new() }
    }

    /// Applies an event, decided at a second.
    pub(super) async fn apply<E: EventSet>(&mut self, kind: &str, id: Uuid, event: &E, seconds: i64) {
        let stream = StreamId::new("default", kind, id);
        let version = self.versions.entry(stream.clone()).or_default();
        *version += 1;
        let recorded = RecordedEvent {
            id: Uuid::now_v7(),
            time: at(seconds),
            stream,
            version: *version,
            position: Position { shard: Shard(0), n: self.applied + 1 },
            event_type: event.dotted_type().to_owned(),
            schema_version: event.schema_version(),
            correlation_id: ORDER,
            causation_id: ORDER,
            actor: "saga:fulfilment".into(),
            data: event.encode(),
        };
        let part = Part {
            projection: sagas::projection::NAME,
            moves: vec![Move { shard: Shard(0), from: self.applied, to: self.applied + 1, frame: FRAME }],
            changes: SagaProjection.map(&recorded).unwrap(),
            letters: Vec::new(),
        };
        self.store.apply(Batch { parts: vec![part] }).await.unwrap();
        self.applied += 1;
    }

    async fn saga(&mut self, event: FulfilmentEvent, seconds: i64) {
        self.saga_of(ORDER, event, seconds).await;
    }

    pub(super) async fn saga_of(&mut self, order: Uuid, event: FulfilmentEvent, seconds: i64) {
        self.apply("fulfilment", order, &event, seconds).await;
    }

    /// What is stuck, when work that was due by a second is overdue: (order, reason, since).
    pub(super) async fn stuck(&self, overdue: i64) -> Vec<(Uuid, String, Timestamp)> {
        let stuck = self.work.stuck(at(overdue), 10).await.unwrap();
        stuck.into_iter().map(|saga| (saga.order_id, saga.reason, saga.since)).collect()
    }

    pub(super) async fn due(&self, lane: &Lane, seconds: i64) -> Vec<String> {
        let due = self.work.due(lane, at(seconds), &Cursor::default(), 10).await.unwrap();
        // Work and positions are of one state.
        assert_eq!(due.mark, self.store.load(sagas::projection::NAME).await.unwrap().mark());
        due.work.into_iter().map(|open| name(&open)).collect()
    }
}

/// A piece of work without its order.
fn name(open: &OpenWork) -> String {
    open.item.id.split_once('/').unwrap().1.to_owned()
}

pub(super) fn started() -> FulfilmentEvent {
    let golden = include_str!("../../../sagas/tests/golden/fulfilment.started.v2.json");
    FulfilmentEvent::decode("fulfilment.started", golden).unwrap()
}

pub(super) fn finished(step: StepName, attempt: u32) -> FulfilmentEvent {
    let (outcome, followed) = (Outcome::Accepted, Vec::new());
    FulfilmentEvent::StepFinished(StepFinished { step, attempt, outcome, followed })
}

/// Work is open from the event that opens it to the one that closes it, in its own lane.
// proves: SAG-3
pub async fn work_is_open_between_its_two_events_and_in_its_lane(factory: &dyn SagaWorkFactory) {
    let mut bench = Bench::new(factory).await;
    bench.saga(started(), 0).await;
    for (step, action) in [
        (StepName::Lookup, Action::Lookup { provider_key: "k".into() }),
        (StepName::ConfirmStock, Action::ConfirmStock),
        (StepName::CancelCarrier, Action::CancelCarrier { carrier_key: "k".into() }),
    ] {
        bench.saga(FulfilmentEvent::StepRequested(StepRequested { step, attempt: 1, action }), 1).await;
    }
    assert_eq!(bench.due(&lanes::COMMANDS, 1).await, ["step/confirm-stock/1"]);
    assert_eq!(bench.due(&lanes::PAYMENTS, 1).await, ["step/lookup/1"]);
    assert_eq!(bench.due(&lanes::CARRIER, 1).await, ["step/cancel-carrier/1"]);
    bench.saga(finished(StepName::ConfirmStock, 1), 2).await;
    assert_eq!(bench.due(&lanes::COMMANDS, 2).await, [""; 0]);
}

/// A close that is applied before its open counts.
// proves: P7, SAG-3
pub async fn a_close_that_is_applied_before_its_open_counts(factory: &dyn SagaWorkFactory) {
    let mut bench = Bench::new(factory).await;
    let refund_id = Uuid::from_u128(9);
    let settled = PaymentRefundSettled { order_id: ORDER, refund_id, provider_reference: "r".into() };
    let amount = Money::new(1, Currency::Usd);
    let refunded = PaymentRefunded {
        order_id: ORDER,
        refund_id,
        amount,
        reason: RefundReason::Plain("x".into()),
        refunded: amount,
        status: PaymentStatus::PartiallyRefunded,
    };
    bench.apply("payment", PAYMENT, &PaymentEvent::RefundSettled(settled), 0).await;
    bench.apply("payment", PAYMENT, &PaymentEvent::Refunded(refunded), 1).await;
    assert_eq!(bench.due(&lanes::PAYMENTS, 5).await, [""; 0]);
    // Somebody else's refund is no signal to the saga.
    assert_eq!(bench.due(&lanes::COMMANDS, 5).await, [""; 0]);
}

/// Deadlines are due when their time comes, and not when they were cleared.
// proves: SAG-3
pub async fn deadlines_are_due_when_their_time_comes_and_not_when_cleared(factory: &dyn SagaWorkFactory) {
    let mut bench = Bench::new(factory).await;
    bench.saga(started(), 0).await;
    for (name, seconds) in [("a", 10), ("b", 20)] {
        let set = DeadlineSet { name: name.into(), due_at: at(seconds) };
        bench.saga(FulfilmentEvent::DeadlineSet(set), 0).await;
    }
    assert_eq!(bench.due(&lanes::COMMANDS, 9).await, [""; 0]);
    assert_eq!(bench.due(&lanes::COMMANDS, 10).await, ["deadline/a"]);
    bench.saga(FulfilmentEvent::DeadlineCleared(DeadlineCleared { name: "b".into() }), 12).await;
    assert_eq!(bench.due(&lanes::COMMANDS, 30).await, ["deadline/a"]);
}

/// A lane is read page by page, oldest first, and what was opened at the same time by id. A page says when its work was opened and is
/// due; what is closed behind the cursor changes nothing.
// proves: SAG-3
pub async fn a_lane_is_read_page_by_page_oldest_first(factory: &dyn SagaWorkFactory) {
    let mut bench = Bench::new(factory).await;
    bench.saga(started(), 0).await;
    for (name, second) in [("d", 3), ("b", 1), ("c", 1), ("a", 2), ("e", 3)] {
        let set = DeadlineSet { name: name.into(), due_at: at(10) };
        bench.saga(FulfilmentEvent::DeadlineSet(set), second).await;
    }
    let (mut after, mut pages) = (Cursor::default(), Vec::new());
    loop {
        let page = bench.work.due(&lanes::COMMANDS, at(10), &after, 2).await.unwrap().work;
        pages.push(page.iter().map(name).collect::<Vec<_>>());
        let Some(last) = page.last() else { break };
        assert_eq!((last.due_at, after < last.cursor()), (Some(at(10)), true));
        after = last.cursor();
        if pages.len() == 1 {
            assert_eq!(last.opened_at, at(1));
            let cleared = DeadlineCleared { name: "b".into() };
            bench.saga(FulfilmentEvent::DeadlineCleared(cleared), 4).await;
        }
    }
    let expected = [&["deadline/b", "deadline/c"][..], &["deadline/a", "deadline/d"], &["deadline/e"], &[]];
    assert_eq!(pages, expected);
    // One that isn't due yet is no reason to stop before those behind it.
    let action = Action::ConfirmStock;
    let requested = StepRequested { step: StepName::ConfirmStock, attempt: 1, action };
    bench.saga(FulfilmentEvent::StepRequested(requested), 5).await;
    let page = bench.work.due(&lanes::COMMANDS, at(9), &Cursor::default(), 1).await.unwrap().work;
    assert_eq!(
        page.iter().map(|open| (name(open), open.due_at)).collect::<Vec<_>>(),
        [("step/confirm-stock/1".to_owned(), None)]
    );
}

/// A saga without open work and without a reason to wait is stuck.
// proves: SAG-4
pub async fn a_saga_without_work_and_without_a_reason_is_stuck(factory: &dyn SagaWorkFactory) {
    let mut bench = Bench::new(factory).await;
    bench.saga(started(), 0).await;
    let action = Action::ConfirmStock;
    bench
        .saga(
            FulfilmentEvent::StepRequested(StepRequested {
                step: StepName::ConfirmStock,
                attempt: 1,
                action,
            }),
            1,
        )
        .await;
    assert_eq!(bench.stuck(0).await, []);
    bench.saga(finished(StepName::ConfirmStock, 1), 2).await;
    let stuck =
        StuckSaga { tenant: "default".into(), order_id: ORDER, reason: "halted".into(), since: at(2) };
    assert_eq!(bench.work.stuck(at(0), 10).await, Ok(vec![stuck]));
    bench.saga(FulfilmentEvent::Waiting(Waiting { waiting_for: WaitingFor::Dispatch }), 3).await;
    assert_eq!(bench.stuck(0).await, []);
    bench.saga(FulfilmentEvent::Compensating(Compensating { reason: EndReason::CustomerRequest }), 4).await;
    assert_eq!(bench.stuck(0).await.len(), 1);
    let due = at(4) + Duration::seconds(1);
    bench.saga(FulfilmentEvent::DeadlineSet(DeadlineSet { name: "x".into(), due_at: due }), 4).await;
    assert_eq!(bench.stuck(0).await, []);
}

/// Makes a test of every case of the contract.
#[macro_export]
macro_rules! saga_work_contract {
    ($factory:expr) => {
        $crate::saga_work_contract!(@cases $factory;
            work_is_open_between_its_two_events_and_in_its_lane,
            a_close_that_is_applied_before_its_open_counts,
            deadlines_are_due_when_their_time_comes_and_not_when_cleared,
            a_lane_is_read_page_by_page_oldest_first,
            a_saga_without_work_and_without_a_reason_is_stuck
        );
    };
    (@cases $factory:expr; $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let factory = $factory;
                $crate::contract::saga_work::$case(&factory).await;
                $crate::contract::saga_work::SagaWorkFactory::remove(&factory).await;
            }
        )+
    };
}
