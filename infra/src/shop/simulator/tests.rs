use std::sync::atomic::{AtomicI64, Ordering};

use domain::Timestamp;
use domain::money::Currency;
use domain::payments::payment::DeclineReason;
use sagas::fulfilment::ports::{
    Booking, BookingRequest, Carrier, Charge, ChargeRequest, PaymentProvider, VoidOutcome,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::switches::{Switch, Who};
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

// proves: PAY-3
#[tokio::test]
async fn a_refusal_is_for_good_and_no_charge() {
    let bench = Bench::new();
    let refused = |reason: &str| Err(ProviderError::Refused(reason.to_owned()));
    assert_eq!(bench.charge("k", "tok_refused").await, refused("amount not acceptable"));
    assert_eq!(bench.simulator.lookup("k").await, Ok(None));
    bench.simulator.turn(Who::Payments, Switch::Refusing).await.unwrap();
    assert!(matches!(bench.charge("l", "tok_visa").await, Err(ProviderError::Refused(_))));
    // Whatever happens later, also in another process.
    bench.simulator.turn(Who::Payments, Switch::Up).await.unwrap();
    let bench = bench.reopened();
    assert_eq!(bench.charge("k", "tok_visa").await, refused("amount not acceptable"));
    assert!(matches!(bench.charge("l", "tok_visa").await, Err(ProviderError::Refused(_))));
    assert_eq!(bench.rows().await, []);
    assert_eq!(bench.simulator.void("k").await, Ok(VoidOutcome::Voided));
}

#[tokio::test]
async fn switches_survive_a_restart_and_what_was_done_before_stays_done() {
    let bench = Bench::new();
    let captured = bench.charge("k", "tok_visa").await.unwrap();
    bench.charge("slow", "tok_slow").await.unwrap();
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let paid = bench.simulator.refund("k", a, usd(100)).await.unwrap();

    bench.simulator.turn(Who::Payments, Switch::Down).await.unwrap();
    let bench = bench.reopened();
    assert_eq!(bench.simulator.switch(Who::Payments).await, Ok(Switch::Down));
    assert_eq!(bench.simulator.switch(Who::Carrier).await, Ok(Switch::Up));
    let away = |error| matches!(error, ProviderError::Unavailable(_));
    assert!(away(bench.charge("k", "tok_visa").await.unwrap_err()));
    assert!(away(bench.simulator.lookup("k").await.unwrap_err()));
    assert!(away(bench.simulator.void("slow").await.unwrap_err()));
    assert!(away(bench.simulator.refund("k", a, usd(100)).await.unwrap_err()));

    bench.simulator.turn(Who::Payments, Switch::Refusing).await.unwrap();
    let refuses = |error| matches!(error, ProviderError::Refused(_));
    assert_eq!(bench.charge("k", "tok_visa").await, Ok(captured));
    assert_eq!(bench.simulator.refund("k", a, usd(100)).await, Ok(paid));
    assert!(refuses(bench.simulator.refund("k", b, usd(100)).await.unwrap_err()));
    assert!(refuses(bench.simulator.void("slow").await.unwrap_err()));
    bench.simulator.turn(Who::Payments, Switch::Up).await.unwrap();
    assert!(refuses(bench.simulator.refund("k", b, usd(100)).await.unwrap_err()), "for good");
    assert_eq!(bench.simulator.void("slow").await, Ok(VoidOutcome::Voided), "to call off may be asked again");

    let request = BookingRequest {
        key: "b".to_owned(),
        shipment_id: Uuid::nil(),
        order_id: Uuid::nil(),
        country: "DE".to_owned(),
    };
    bench.simulator.turn(Who::Carrier, Switch::Down).await.unwrap();
    assert!(away(bench.simulator.book(&request).await.unwrap_err()));
    assert!(away(bench.simulator.cancel("b").await.unwrap_err()));
    bench.simulator.turn(Who::Carrier, Switch::Refusing).await.unwrap();
    assert!(matches!(bench.simulator.book(&request).await, Ok(Booking::Refused { .. })));
    assert!(refuses(bench.simulator.cancel("b").await.unwrap_err()));
    bench.simulator.turn(Who::Carrier, Switch::Up).await.unwrap();
    assert!(matches!(bench.simulator.book(&request).await, Ok(Booking::Refused { .. })), "for good");
}

#[tokio::test]
async fn books_of_before_the_switches_are_kept() {
    let bench = Bench::new();
    let charge = bench.charge("k", "tok_visa").await.unwrap();
    let old = Connection::open(bench.dir.path().join(SIMULATOR_FILE)).unwrap();
    old.execute_batch("DROP TABLE refusals; DROP TABLE switches; PRAGMA user_version = 1").unwrap();
    drop(old);
    let bench = bench.reopened();
    assert_eq!(bench.charge("k", "tok_visa").await, Ok(charge));
    assert_eq!(bench.simulator.switch(Who::Payments).await, Ok(Switch::Up));
}
