use std::sync::atomic::{AtomicI64, Ordering};

use domain::Timestamp;
use domain::money::Currency;
use domain::shop::payment::DeclineReason;
use sagas::ports::{Booking, BookingRequest, Carrier, Charge, ChargeRequest, PaymentProvider, VoidOutcome};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

/// A clock that a test moves.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_micros(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

struct Bench {
    dir: TempDir,
    clock: Arc<Hand>,
    simulator: Simulator,
}

fn open_in(dir: &TempDir, clock: &Arc<Hand>) -> Simulator {
    let config = SimulatorConfig { lost_reply: Duration::ZERO, ..SimulatorConfig::default() };
    Simulator::open(dir.path(), Arc::clone(clock) as Arc<dyn Clock>, config).unwrap()
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicI64::new(1_735_689_600_000_000)));
        let simulator = open_in(&dir, &clock);
        Self { dir, clock, simulator }
    }

    /// As after a kill: another process opens the same books.
    fn reopened(self) -> Self {
        let simulator = open_in(&self.dir, &self.clock);
        Self { simulator, ..self }
    }

    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    async fn charge(&self, key: &str, method: &str) -> Result<Charge, ProviderError> {
        let request = ChargeRequest {
            key: key.to_owned(),
            payment_id: Uuid::nil(),
            order_id: Uuid::nil(),
            amount: usd(500),
            method: method.to_owned(),
        };
        self.simulator.charge(&request).await
    }

    async fn rows(&self) -> Vec<(&'static str, i64, i64)> {
        let rows = self.simulator.charges(0, 100).await.unwrap();
        rows.into_iter().map(|row| (row.status, row.captured.amount, row.refunded.amount)).collect()
    }
}

fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::Usd)
}

// proves: PAY-1, PAY-3
#[tokio::test]
async fn repeats_under_one_key_are_one_charge_also_after_a_restart() {
    let bench = Bench::new();
    let first = bench.charge("k", "tok_visa").await.unwrap();
    assert!(matches!(first, Charge::Captured { .. }));
    let bench = bench.reopened();
    assert_eq!(bench.charge("k", "tok_visa").await, Ok(first));
    assert_eq!(bench.rows().await, [("captured", 500, 0)]);
}

#[tokio::test]
async fn each_method_does_what_it_says() {
    let bench = Bench::new();
    let declined = |reason| Ok(Charge::Declined(reason));
    assert_eq!(bench.charge("a", "tok_declined").await, declined(DeclineReason::Declined));
    assert_eq!(bench.charge("b", "tok_insufficient_funds").await, declined(DeclineReason::InsufficientFunds));
    assert_eq!(bench.charge("c", "tok_other").await, declined(DeclineReason::UnknownMethod));

    assert_eq!(bench.charge("d", "tok_timeout_captured").await, Err(ProviderError::Timeout));
    assert!(matches!(bench.simulator.lookup("d").await, Ok(Some(Charge::Captured { .. }))));

    assert_eq!(bench.charge("e", "tok_timeout_lost").await, Err(ProviderError::Timeout));
    assert_eq!(bench.simulator.lookup("e").await, Ok(None));

    assert!(matches!(bench.charge("f", "tok_slow").await, Ok(Charge::Authorized { .. })));
    bench.pass(2);
    assert!(matches!(bench.simulator.lookup("f").await, Ok(Some(Charge::Authorized { .. }))));
    bench.pass(2);
    assert!(matches!(bench.simulator.lookup("f").await, Ok(Some(Charge::Captured { .. }))));

    let none = ("declined", 0, 0);
    assert_eq!(bench.rows().await, [none, none, none, ("captured", 500, 0), ("captured", 500, 0)]);
}

// proves: PAY-3
#[tokio::test]
async fn a_void_is_definite() {
    let bench = Bench::new();
    // Before the charge arrives: a tombstone, which isn't a charge.
    assert_eq!(bench.simulator.void("late").await, Ok(VoidOutcome::Voided));
    assert_eq!(bench.simulator.void("late").await, Ok(VoidOutcome::Voided));
    let bench = bench.reopened();
    assert_eq!(bench.charge("late", "tok_visa").await, Ok(Charge::Voided));
    assert_eq!(bench.rows().await, []);
    // Before the capture.
    bench.charge("slow", "tok_slow").await.unwrap();
    assert_eq!(bench.simulator.void("slow").await, Ok(VoidOutcome::Voided));
    bench.pass(60);
    assert_eq!(bench.simulator.lookup("slow").await, Ok(Some(Charge::Voided)));
    // After it.
    bench.charge("slow too", "tok_slow").await.unwrap();
    bench.pass(60);
    assert!(matches!(bench.simulator.void("slow too").await, Ok(VoidOutcome::AlreadyCaptured { .. })));
    assert_eq!(bench.rows().await, [("voided", 0, 0), ("captured", 500, 0)]);
}

// proves: PAY-2
#[tokio::test]
async fn refunds_never_exceed_the_charge() {
    let bench = Bench::new();
    bench.charge("k", "tok_visa").await.unwrap();
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let first = bench.simulator.refund("k", a, usd(300)).await.unwrap();
    assert_eq!(bench.simulator.refund("k", a, usd(300)).await, Ok(first));
    assert_eq!(bench.rows().await, [("partially_refunded", 500, 300)]);
    assert!(matches!(bench.simulator.refund("k", b, usd(201)).await, Err(ProviderError::Refused(_))));
    assert!(matches!(bench.simulator.refund("none", b, usd(1)).await, Err(ProviderError::Refused(_))));
    bench.simulator.refund("k", b, usd(200)).await.unwrap();
    assert_eq!(bench.rows().await, [("refunded", 500, 500)]);
}

#[tokio::test]
async fn the_carrier_refuses_one_country_and_answers_repeats_alike() {
    let bench = Bench::new();
    let request = |key: &str, country: &str| BookingRequest {
        key: key.to_owned(),
        shipment_id: Uuid::nil(),
        order_id: Uuid::nil(),
        country: country.to_owned(),
    };
    let booked = bench.simulator.book(&request("a", "DE")).await.unwrap();
    assert!(matches!(booked, Booking::Booked { .. }));
    assert_eq!(bench.simulator.book(&request("a", "DE")).await, Ok(booked));
    let refused = bench.simulator.book(&request("b", carrier::UNSERVED)).await.unwrap();
    assert!(matches!(refused, Booking::Refused { .. }));
    bench.simulator.cancel("a").await.unwrap();
    bench.simulator.cancel("a").await.unwrap();
    bench.simulator.cancel("nothing").await.unwrap();
}

#[tokio::test]
async fn charges_come_page_by_page() {
    let bench = Bench::new();
    for n in 0..5 {
        bench.charge(&n.to_string(), "tok_visa").await.unwrap();
    }
    let first = bench.simulator.charges(0, 3).await.unwrap();
    let rest = bench.simulator.charges(first[2].seq, 3).await.unwrap();
    assert_eq!((first.len(), rest.len()), (3, 2));
    assert!(first.iter().chain(&rest).map(|row| row.seq).is_sorted());
}
