//! The contract of what operators see of sagas: which are stuck, and where each stands. [`saga_standing_contract!`](crate::saga_standing_contract)
//! makes a test of every case.

use std::sync::Arc;

use async_trait::async_trait;
use domain::aggregate::EventSet;
use domain::money::{Currency, Money};
use domain::ordering::order::{EndReason, OrderEvent};
use domain::payments::payment::{PaymentEvent, PaymentRefunded, PaymentStatus, RefundReason};
use projections::engine::query::Page;
use projections::engine::read_models::ReadModels;
use projections::engine::sagas::SagaFilter;
use sagas::fulfilment::action::Action;
use sagas::fulfilment::events::{
    Compensating, DeadlineSet, Ended, Ending, FulfilmentEvent, Need, NeedsSomebody, Resolution, Resolved,
    Retried, StepRequested, Waiting, WaitingFor,
};
use sagas::fulfilment::lanes;
use sagas::fulfilment::steps::StepName;
use uuid::Uuid;

use super::saga_work::{Bench, PAYMENT, SagaWorkFactory, at, finished, started};

/// Makes empty stores, and asks them.
#[async_trait]
pub trait SagaStandingFactory: SagaWorkFactory {
    /// The questions, asked of the store that was made.
    async fn models(&self) -> Arc<dyn ReadModels>;
}

/// The orders of the sagas that a filter finds, page by page.
async fn listed(models: &dyn ReadModels, filter: &SagaFilter, limit: usize) -> Vec<Uuid> {
    let (mut found, mut page) = (Vec::new(), Page { after: None, limit });
    loop {
        let listed = models.sagas("default", filter, &page).await.unwrap();
        assert!(listed.items.len() <= limit);
        found.extend(listed.items.into_iter().map(|saga| saga.order_id));
        page.after = listed.next;
        if page.after.is_none() {
            return found;
        }
    }
}

fn needs(step: StepName, need: Need) -> FulfilmentEvent {
    FulfilmentEvent::NeedsSomebody(NeedsSomebody { step, attempt: 2, need, detail: "no".into() })
}

fn requested(step: StepName, action: Action) -> FulfilmentEvent {
    FulfilmentEvent::StepRequested(StepRequested { step, attempt: 1, action })
}

/// A saga with open work is stuck when a step needs somebody, or when work is older than its bound; whatever it waits for, and even
/// when it has ended or not yet begun.
// proves: SAG-4, OPS-3
pub async fn a_saga_is_stuck_for_a_reason_and_since_a_time(factory: &dyn SagaStandingFactory) {
    let mut bench = Bench::new(factory).await;
    let [needy, away, ended, unbegun, busy] = [1, 2, 3, 4, 5].map(Uuid::from_u128);
    let key = || "k".to_owned();

    bench.saga_of(needy, started(), 0).await;
    bench.saga_of(needy, requested(StepName::Void, Action::Void { provider_key: key() }), 1).await;
    bench.saga_of(needy, needs(StepName::CancelCarrier, Need::CarrierRefused), 9).await;

    bench.saga_of(away, started(), 0).await;
    bench
        .saga_of(away, requested(StepName::CancelCarrier, Action::CancelCarrier { carrier_key: key() }), 5)
        .await;
    bench
        .saga_of(away, FulfilmentEvent::Waiting(Waiting { waiting_for: WaitingFor::RefundSettlement }), 6)
        .await;

    bench.saga_of(ended, started(), 0).await;
    bench.saga_of(ended, FulfilmentEvent::Ended(Ended { ending: Ending::Completed }), 3).await;
    let amount = Money::new(1, Currency::Usd);
    let refunded = PaymentRefunded {
        order_id: ended,
        refund_id: Uuid::from_u128(9),
        amount,
        reason: RefundReason::Plain("x".into()),
        refunded: amount,
        status: PaymentStatus::PartiallyRefunded,
    };
    bench.apply("payment", PAYMENT, &PaymentEvent::Refunded(refunded), 7).await;

    let placed = include_str!("../../../domain/tests/golden/order.placed.v1.json");
    let placed = OrderEvent::decode("order.placed", placed).unwrap();
    bench.apply("order", unbegun, &placed, 6).await;

    bench.saga_of(busy, started(), 0).await;
    let due = DeadlineSet { name: "reservation".into(), due_at: at(900) };
    bench.saga_of(busy, FulfilmentEvent::DeadlineSet(due), 0).await;

    assert_eq!(bench.stuck(0).await, [(needy, "carrier_refused".to_owned(), at(9))]);
    let all = [
        (needy, "carrier_refused".to_owned(), at(1)),
        (away, "carrier_overdue".to_owned(), at(5)),
        (unbegun, "commands_overdue".to_owned(), at(6)),
        (ended, "payments_overdue".to_owned(), at(7)),
    ];
    assert_eq!(bench.stuck(8).await, all);
    // A deadline is due when its time comes, not when it was set.
    assert!(bench.stuck(899).await.iter().all(|(order, ..)| *order != busy));
    assert!(bench.stuck(900).await.iter().any(|(order, ..)| *order == busy));

    // What a person says ends it.
    let retried = Retried { steps: vec![StepName::CancelCarrier], followed: Vec::new() };
    bench.saga_of(needy, FulfilmentEvent::Retried(retried), 10).await;
    let resolved = Resolved {
        step: StepName::CancelCarrier,
        attempt: 1,
        outcome: Resolution::Done,
        reason: "they called".into(),
        followed: Vec::new(),
    };
    bench.saga_of(away, FulfilmentEvent::Resolved(resolved), 10).await;
    assert_eq!(bench.due(&lanes::CARRIER, 20).await, [""; 0], "nobody calls the carrier any more");
    let left: Vec<_> = bench.stuck(8).await.into_iter().map(|(order, reason, _)| (order, reason)).collect();
    let expected = [
        (needy, "payments_overdue".to_owned()),
        (unbegun, "commands_overdue".to_owned()),
        (ended, "payments_overdue".to_owned()),
    ];
    assert_eq!(left, expected);
}

/// Operators see where every saga stands, by status, reason and age, page by page.
// proves: SAG-4
pub async fn sagas_are_listed_by_status_reason_and_age(factory: &dyn SagaStandingFactory) {
    let mut bench = Bench::new(factory).await;
    let models = factory.models().await;
    let [running, waiting, undoing, ended, stuck, late] = [1, 2, 3, 4, 5, 6].map(Uuid::from_u128);
    for (n, order) in (0..).zip([running, waiting, undoing, ended, stuck, late]) {
        bench.saga_of(order, started(), n).await;
        let at_once = requested(StepName::ConfirmStock, Action::ConfirmStock);
        bench.saga_of(order, at_once, if order == late { 12 } else { 50 }).await;
    }
    bench.saga_of(waiting, finished(StepName::ConfirmStock, 1), 51).await;
    bench.saga_of(waiting, FulfilmentEvent::Waiting(Waiting { waiting_for: WaitingFor::Dispatch }), 51).await;
    let reason = EndReason::ShipmentFailed;
    bench.saga_of(undoing, FulfilmentEvent::Compensating(Compensating { reason }), 52).await;
    bench.saga_of(ended, finished(StepName::ConfirmStock, 1), 53).await;
    bench.saga_of(ended, FulfilmentEvent::Compensating(Compensating { reason }), 53).await;
    let ending = Ending::Compensated { reason };
    bench.saga_of(ended, FulfilmentEvent::Ended(Ended { ending }), 54).await;
    bench.saga_of(stuck, needs(StepName::RefundPayment, Need::RefundRefused), 55).await;

    let filter = |status: Option<&str>, reason: Option<&str>, since: Option<i64>| SagaFilter {
        status: status.map(str::to_owned),
        reason: reason.map(str::to_owned),
        since: since.map(at),
        overdue: at(20),
    };
    for limit in [1, 2, 100] {
        let all = [running, waiting, undoing, ended, stuck, late];
        assert_eq!(listed(&*models, &filter(None, None, None), limit).await, all);
        for (status, orders) in [
            ("running", vec![running]),
            ("waiting", vec![waiting]),
            ("compensating", vec![undoing]),
            ("ended", vec![ended]),
            ("stuck", vec![stuck, late]),
        ] {
            assert_eq!(listed(&*models, &filter(Some(status), None, None), limit).await, orders, "{status}");
        }
        assert_eq!(
            listed(&*models, &filter(None, Some("shipment_failed"), None), limit).await,
            [undoing, ended]
        );
        let refused = filter(Some("stuck"), Some("refund_refused"), None);
        assert_eq!(listed(&*models, &refused, limit).await, [stuck]);
        assert_eq!(listed(&*models, &filter(Some("stuck"), None, Some(20)), limit).await, [late]);
        assert_eq!(listed(&*models, &filter(None, None, Some(2)), limit).await, [running]);
    }

    let one = async |order| models.saga("default", order, at(20)).await.unwrap();
    let found = one(stuck).await.unwrap();
    assert_eq!((found.status.as_str(), found.since, found.attempts), ("stuck", at(55), 2));
    assert_eq!(
        (found.step.as_deref(), found.reason.as_deref()),
        (Some("refund-payment"), Some("refund_refused"))
    );
    let found = one(late).await.unwrap();
    assert_eq!((found.reason.as_deref(), found.since), (Some("commands_overdue"), at(12)));
    assert_eq!((found.step.as_deref(), found.attempts), (Some("confirm-stock"), 1));
    let found = one(waiting).await.unwrap();
    assert_eq!((found.waiting_for.as_deref(), found.since), (Some("dispatch"), at(51)));
    let found = one(ended).await.unwrap();
    assert_eq!((found.status.as_str(), found.step, found.since), ("ended", None, at(54)));
    assert_eq!(one(Uuid::from_u128(77)).await, None);
    assert_eq!(models.saga("other", stuck, at(20)).await, Ok(None));
}

/// Makes a test of every case of the contract.
#[macro_export]
macro_rules! saga_standing_contract {
    ($factory:expr) => {
        $crate::saga_standing_contract!(@cases $factory;
            a_saga_is_stuck_for_a_reason_and_since_a_time,
            sagas_are_listed_by_status_reason_and_age
        );
    };
    (@cases $factory:expr; $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let factory = $factory;
                $crate::contract::saga_standing::$case(&factory).await;
                $crate::contract::saga_work::SagaWorkFactory::remove(&factory).await;
            }
        )+
    };
}
