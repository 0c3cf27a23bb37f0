//! A story read from a tape of bytes: each byte decides what happens next. An empty tape is a quiet day.

mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::inventory::{Inventory, InventoryCommand};
use domain::money::{Currency, Money};
use domain::ordering::order::{
    EndReason, Order, OrderCommand, OrderParts, OrderStatus, RequestedLine, ShippingAddress, parts,
};
use domain::payments::payment::{Payment, PaymentCommand, PaymentStatus, Refund, RefundReason};
use domain::personal::Sealed;
use domain::ports::clock::Clock;
use domain::shipping::shipment::{Shipment, ShipmentCommand, ShipmentStatus};
use domain::stream::{DEFAULT_TENANT, StreamId};
use sagas::Shop;
use sagas::engine::work::WorkItem;
use sagas::engine::worker::{Worker, WorkerConfig};
use sagas::fulfilment::config::{Capacity, FulfilmentConfig};
use sagas::fulfilment::events::{Ending, Need, NeedsSomebody, Resolution};
use sagas::fulfilment::ids;
use sagas::fulfilment::{Fulfilment, FulfilmentCommand, Trigger};
use sagas::standing::{SagaWork, StuckSaga};
use uuid::Uuid;

use crate::outside::{Fault, Mood, Outside};
use crate::world::{Backup, SHARDS, World};

const ORDERS: u8 = 3;
const PRODUCTS: u8 = 2;
const METHODS: [&str; 6] = ["good", "declined", "slow", "late", "lost", "refused"];

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Calls fail, replies get lost, work is repeated at any time.
    Faulty,
    /// Nothing.
    Faultless,
    /// Every piece of work is carried out twice in a row, and owners forget that they knew the commands.
    Doubled,
    /// After every piece of work, all work so far is carried out again.
    EverythingAgain,
}

/// When a worker starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Starts {
    BeforeTheLoss,
    AfterTheLoss,
}

pub(crate) struct Story {
    tape: std::vec::IntoIter<u8>,
    mode: Mode,
    world: World,
    outside: Outside,
    worker: Worker,
    /// By order: (stock on hand at first, …) is by product.
    stock: Vec<u64>,
    carried_out: Vec<WorkItem>,
    refunds: u128,
    /// What a person who has to look does, by turns.
    person: u8,
    /// Orders of which a person gave something up: books may differ there.
    given_up: BTreeSet<u8>,
}

fn id(kind: u8, n: u8) -> Uuid {
    Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0000 + (u128::from(kind) << 8) + u128::from(n))
}

/// The order that an older program placed: its streams lie anywhere, and every step is a piece of work.
const OLDER: u8 = 1;

fn order_id(n: u8) -> Uuid {
    let together = |id: &Uuid| {
        let [order, saga] = parts::TOGETHER.map(|kind| StreamId::new(DEFAULT_TENANT, kind, id).shard(SHARDS));
        (order == saga) == (n != OLDER)
    };
    let candidates = (0_u128..).map(|k| Uuid::from_u128(id(1, n).as_u128() + (k << 16)));
    candidates.into_iter().find(together).unwrap()
}

fn order_parts(n: u8) -> Option<OrderParts> {
    (n != OLDER).then(|| OrderParts::beside(DEFAULT_TENANT, order_id(n), SHARDS))
}

fn payment_id(n: u8) -> Uuid {
    order_parts(n).map_or_else(|| ids::payment_id(order_id(n), 1), |parts| parts.payment_id)
}

fn shipment_id(n: u8) -> Uuid {
    order_parts(n).map_or_else(|| ids::shipment_id(order_id(n), 1), |parts| parts.shipment_id)
}

fn product_id(n: u8) -> Uuid {
    id(2, n)
}

impl Story {
    pub(crate) fn begin(tape: Vec<u8>, mode: Mode) -> Self {
        let (world, outside) = (World::new(), Outside::default());
        let shop = Shop {
            gateway: Arc::new(world.clone()),
            payments: Arc::new(outside.clone()),
            carrier: Arc::new(outside.clone()),
            fulfilment: FulfilmentConfig { charge_retries: 2, ..FulfilmentConfig::default() },
            capacity: Capacity::default(),
        };
        let worker = shop.worker(Arc::new(world.clone()), WorkerConfig::default());
        let tape = tape.into_iter();
        let mut story = Self {
            tape,
            mode,
            world,
            outside,
            worker,
            stock: Vec::new(),
            carried_out: Vec::new(),
            refunds: 0,
            person: 0,
            given_up: BTreeSet::new(),
        };
        story.person = story.pick(3);
        for product in 0..PRODUCTS {
            let on_hand = 10 - u64::from(story.pick(10));
            let command = InventoryCommand::SetStock { warehouse: "main".into(), on_hand };
            story.world.command("inventory", product_id(product), command).unwrap();
            story.stock.push(on_hand);
        }
        for order in 0..ORDERS {
            story.place(order);
        }
        story
    }

    /// The next byte, below `n`; 0 at the end of the tape.
    fn pick(&mut self, n: u8) -> u8 {
        self.tape.next().map_or(0, |byte| byte % n)
    }

    fn place(&mut self, order: u8) {
        let lines = 1 + self.pick(2);
        let lines = (0..lines).map(|n| RequestedLine {
            product_id: product_id(n),
            product_version: 1,
            sku: "S".into(),
            name: "Thing".into(),
            quantity: 1 + u32::from(self.pick(4)),
            unit_price: Money::new(100, Currency::Eur),
        });
        let lines = lines.collect();
        let method = usize::from(self.pick(8));
        let country = if self.pick(6) == 5 { "AQ" } else { "DE" };
        let sealed = || Sealed::from_text("v1.x".into());
        let address = ShippingAddress {
            name: sealed(),
            line1: sealed(),
            city: sealed(),
            postal_code: sealed(),
            country: country.into(),
        };
        let command = OrderCommand::Place {
            customer_id: id(3, order),
            lines,
            payment_method: METHODS.get(method).unwrap_or(&"good").to_string(),
            shipping_address: address,
            parts: order_parts(order),
        };
        self.world.command("order", order_id(order), command).unwrap();
    }

    /// Plays to the end of the tape.
    pub(crate) async fn play(&mut self) {
        while let Some(byte) = self.tape.next() {
            match byte % 32 {
                0..=15 => self.work(1).await,
                16..=19 => {
                    let (shard, events) = (self.pick(4), self.pick(6));
                    self.world.project(u16::from(shard) % SHARDS, usize::from(events) + 1);
                }
                20..=24 => self.world.project_all(),
                25 => {
                    let order = self.pick(ORDERS);
                    // Too late is an answer too.
                    let _ = self.world.command("order", order_id(order), OrderCommand::RequestCancellation);
                }
                26 => self.ship(ShipmentCommand::Dispatch),
                27 => self.ship(ShipmentCommand::Deliver),
                28 => self.refund(),
                29 => {
                    let seconds = [1, 2, 5, 1, 2, 5, 1, 1_000][usize::from(self.pick(8))];
                    self.world.pass(seconds);
                }
                30 => self.outside.move_on(),
                31 if byte >= 128 => self.turn(),
                _ => self.go_wrong().await,
            }
        }
    }

    /// Those outside go away, refuse, or are back.
    fn turn(&mut self) {
        const MOODS: [Mood; 4] = [Mood::Up, Mood::Away, Mood::Refusing, Mood::Up];
        let (payments, carrier) = (usize::from(self.pick(4)), usize::from(self.pick(4)));
        if self.mode == Mode::Faulty {
            self.outside.turn(MOODS[payments], MOODS[carrier]);
        }
    }

    async fn go_wrong(&mut self) {
        let (what, fault) = (self.pick(3), self.pick(3));
        if self.mode != Mode::Faulty {
            return;
        }
        let fault = [Fault::LosesReply, Fault::LosesRequest, Fault::Unavailable][usize::from(fault)];
        match what {
            0 => self.world.fail_next(fault),
            1 => self.outside.fail_next(fault),
            _ if self.carried_out.is_empty() => {}
            _ => {
                let again = usize::from(self.pick(u8::MAX)) % self.carried_out.len();
                let item = self.carried_out[again].clone();
                self.world.forget_commands();
                let _ = self.worker.processes.perform(&item, 0).await;
            }
        }
    }

    /// Carries out one piece of the open work that is due, whichever the tape says.
    async fn work(&mut self, tries: u32) {
        let now = self.world.now();
        let due = self.world.open_work().into_iter().filter(|(at, _)| at.is_none_or(|at| at <= now));
        let due: Vec<WorkItem> = due.map(|(_, item)| item).collect();
        let at = usize::from(self.pick(u8::MAX));
        if let Some(item) = due.get(at % due.len().max(1)) {
            self.carry_out(item.clone(), tries).await;
        }
    }

    async fn carry_out(&mut self, item: WorkItem, tries: u32) {
        let first = self.worker.processes.perform(&item, tries).await;
        match self.mode {
            Mode::Faulty | Mode::Faultless => {}
            Mode::Doubled => {
                self.world.forget_commands();
                let second = self.worker.processes.perform(&item, tries).await;
                assert_eq!(first.is_ok(), second.is_ok(), "{item:?}");
            }
            Mode::EverythingAgain => {
                self.world.forget_commands();
                for earlier in &self.carried_out {
                    self.worker.processes.perform(earlier, tries).await.unwrap();
                }
            }
        }
        if first.is_ok() && !self.carried_out.contains(&item) {
            self.carried_out.push(item);
        }
    }

    fn ship(&mut self, command: ShipmentCommand) {
        let shipment = shipment_id(self.pick(ORDERS));
        // A shipment that isn't there yet can't leave.
        let _ = self.world.command("shipment", shipment, command);
    }

    fn refund(&mut self) {
        let payment = payment_id(self.pick(ORDERS));
        let part = 40 + i64::from(self.pick(120));
        let known: Payment = self.world.state("payment", payment);
        // Above a bound all that is left.
        let amount =
            Money::new(if part < 140 { part } else { known.captured - known.refunded }, Currency::Eur);
        self.refunds += 1;
        let refund_id = Uuid::from_u128(self.refunds);
        let command =
            PaymentCommand::Refund { refund_id, amount, reason: RefundReason::Plain("kindness".into()) };
        let _ = self.world.command("payment", payment, command);
    }

    /// Lets everything come to an end: first what can by itself, then the warehouse ships what is paid.
    pub(crate) async fn settle(&mut self) {
        if self.outside.is_moody() {
            self.go_as_far_as_can_be().await;
        }
        self.outside.turn(Mood::Up, Mood::Up);
        self.calm_down().await;
        for order in 0..ORDERS {
            for command in [ShipmentCommand::Dispatch, ShipmentCommand::Deliver] {
                let _ = self.world.command("shipment", shipment_id(order), command);
            }
        }
        self.calm_down().await;
    }

    /// Whatever those outside do or don't: an order that is given up is cancelled, and its stock goes back.
    async fn go_as_far_as_can_be(&mut self) {
        // Each piece of work has one try below. A fault inside that the tape left over must not take it: it passes, a mood stays.
        self.world.fail_next(Fault::None);
        self.outside.fail_next(Fault::None);
        let mut failed = BTreeSet::new();
        for _ in 0..10_000 {
            self.world.project_all();
            let now = self.world.now();
            let open = self.world.open_work();
            let due = |(at, item): &&(Option<domain::Timestamp>, WorkItem)| {
                at.is_none_or(|at| at <= now) && !failed.contains(&item.id)
            };
            if let Some((_, item)) = open.iter().find(due) {
                self.carry_out(item.clone(), 9).await;
                failed.insert(item.id.clone());
            } else if let Some(next) = open.iter().filter_map(|(at, _)| *at).filter(|at| *at > now).min() {
                self.world.pass_until(next);
            } else {
                break;
            }
        }
        for n in 0..ORDERS {
            let saga: Fulfilment = self.world.state("fulfilment", order_id(n));
            if saga.compensating.is_some() {
                let status = self.order(n).status;
                assert!(status.is_final(), "order {n} is {status}, held up: {saga:?}");
            }
        }
    }

    /// Somebody looks, and does something about every saga that needs it.
    async fn look_after(&mut self, stuck: Vec<StuckSaga>) {
        for StuckSaga { order_id, .. } in stuck {
            let saga: Fulfilment = self.world.state("fulfilment", order_id);
            let Some(NeedsSomebody { step, need, .. }) = saga.needs.values().next().cloned() else {
                panic!("nobody knows why {saga:?} is stuck");
            };
            self.person = (self.person + 1) % 3;
            let resolve = |outcome| Trigger::Resolve { step, outcome, reason: "by hand".into() };
            let word = match (self.person, need) {
                (1, Need::RefundRefused) => resolve(Resolution::Done),
                (2, Need::RefundRefused | Need::VoidRefused | Need::CarrierRefused) => {
                    self.given_up.extend((0..ORDERS).filter(|n| self::order_id(*n) == order_id));
                    resolve(Resolution::Refused)
                }
                _ => Trigger::Retry,
            };
            self.world.command("fulfilment", order_id, FulfilmentCommand::Handle(word)).unwrap();
        }
    }

    async fn calm_down(&mut self) {
        for round in 0..10_000 {
            self.world.project_all();
            let stuck = self.world.stuck(self.world.now(), 10).await.unwrap();
            if !stuck.is_empty() {
                self.look_after(stuck).await;
                continue;
            }
            let now = self.world.now();
            let open = self.world.open_work();
            let due: Vec<_> = open.iter().filter(|(at, _)| at.is_none_or(|at| at <= now)).collect();
            if !due.is_empty() {
                // By turns: what waits for another piece of work must not keep it from its turn.
                let (_, item) = due[round % due.len()];
                self.carry_out(item.clone(), 9).await;
            } else if let Some(next) = open.iter().filter_map(|(at, _)| *at).min() {
                self.world.pass_until(next);
                self.outside.move_on();
            } else {
                return;
            }
        }
        panic!("there is still work: {:?}", self.world.open_work());
    }

    /// The read model as it is now.
    pub(crate) fn back_up(&self) -> Backup {
        self.world.back_up()
    }

    pub(crate) fn history(&self) -> BTreeMap<String, Vec<String>> {
        self.world.history()
    }

    /// The events of an order's process up to the one that makes it paid, and how many commands they came from.
    pub(crate) fn up_to_paid(&self, n: u8) -> (Vec<String>, usize) {
        let events = self.world.events_of(order_id(n));
        let paid = events.iter().position(|event| event.event_type == "order.paid").unwrap();
        let step = |event: &RecordedEvent| {
            let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            let step = data["step"].as_str().map(|step| format!(" {step}"));
            format!("{}{}", event.event_type, step.unwrap_or_default())
        };
        // A command's events share its instant and its actor, and lie side by side.
        let commands: BTreeSet<_> = events[..=paid].iter().map(|event| event.causation_id).collect();
        (events[..=paid].iter().map(step).collect(), commands.len())
    }

    fn order(&self, n: u8) -> Order {
        self.world.state("order", order_id(n))
    }

    pub(crate) fn all_completed(&self) -> bool {
        (0..ORDERS).all(|n| self.order(n).status == OrderStatus::Completed)
    }

    /// Whether a line of an order was ever out of stock.
    pub(crate) fn was_refused_stock(&self) -> bool {
        self.world.history().values().flatten().any(|event| event.contains("out-of-stock"))
    }

    /// Whether somebody asked more than once for an order to be cancelled.
    pub(crate) fn was_cancelled_again(&self) -> bool {
        let asked = |events: &Vec<String>| {
            events.iter().filter(|event| event.starts_with("order.cancellation_requested")).count()
        };
        let whole =
            |event: &&String| event.starts_with("payment.refunded") && event.contains("\"refunded\"}");
        let history = self.world.history();
        let refunded = history.values().flatten().filter(whole).count();
        history.values().any(|events| asked(events) > 1) || refunded > 0
    }

    /// The first stream whose events aren't the same in another story.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let (mine, others) = (self.world.history(), other.world.history());
        let streams = mine.keys().chain(others.keys());
        let mut differing = streams.filter(|stream| mine.get(*stream) != others.get(*stream));
        differing
            .next()
            .map(|stream| format!("{stream}: {:#?} and {:#?}", mine.get(stream), others.get(stream)))
    }

    /// Every saga has ended, and all books agree.
    pub(crate) fn check(&self) {
        for n in 0..ORDERS {
            self.check_order(n);
        }
        for product in 0..PRODUCTS {
            let stock: Inventory = self.world.state("inventory", product_id(product));
            let sold = |n: &u8| self.order(*n).status == OrderStatus::Completed;
            let of_order = |n: u8| -> u64 {
                let lines = self.order(n).placed.unwrap().lines;
                lines
                    .iter()
                    .filter(|l| l.product_id == product_id(product))
                    .map(|l| u64::from(l.quantity))
                    .sum()
            };
            let sold: u64 = (0..ORDERS).filter(sold).map(of_order).sum();
            let total = stock.total();
            assert_eq!((total.on_hand, total.reserved), (self.stock[usize::from(product)] - sold, 0));
        }
    }

    fn check_order(&self, n: u8) {
        let order = self.order(n);
        let saga: Fulfilment = self.world.state("fulfilment", order_id(n));
        let ending = saga.ended.unwrap_or_else(|| panic!("order {n} has not ended: {saga:?}"));
        let completed = match ending {
            Ending::Completed => {
                assert_eq!(order.status, OrderStatus::Completed);
                true
            }
            Ending::Compensated { reason } => {
                let status = if reason == EndReason::OutOfStock {
                    OrderStatus::Rejected
                } else {
                    OrderStatus::Cancelled
                };
                assert_eq!((order.status, order.reason), (status, Some(reason)));
                false
            }
        };
        assert!(!order.cancellation_requested, "order {n} still waits for an answer to its cancellation");

        let payment: Payment = self.world.state("payment", payment_id(n));
        let books = self.outside.0.lock().unwrap();
        let charges: Vec<_> =
            books.charges.values().filter(|charge| charge.order_id == order_id(n)).collect();
        assert!(charges.len() <= 1, "order {n} was charged more than once");
        let given_up = self.given_up.contains(&n);
        let captured: i64 = charges.iter().map(|charge| charge.captured()).sum();
        let by_provider: i64 = charges.iter().map(|charge| charge.refunded()).sum();
        let paid = |id: &Uuid| charges.iter().any(|charge| charge.refunds.contains_key(id));
        let by_hand = payment.refunds.iter().filter(|(id, refund)| refund.settled && !paid(id));
        let refunded = by_provider + by_hand.map(|(_, refund)| refund.amount.amount).sum::<i64>();
        if !given_up {
            assert_eq!((payment.captured, payment.refunded), (captured, refunded), "order {n}");
        }
        let ended = |refund: &Refund| refund.settled || refund.failure.is_some();
        assert!(payment.refunds.values().all(ended), "order {n}");
        if completed {
            assert_eq!(captured, order.placed.as_ref().unwrap().total.amount);
        } else if !given_up {
            assert_eq!(captured - refunded, 0, "order {n} kept money");
            let open = [PaymentStatus::Initiated, PaymentStatus::Authorized, PaymentStatus::Unknown];
            assert!(payment.initiated.is_none() || !open.contains(&payment.status), "order {n}: {payment:?}");
        }

        let shipment: Shipment = self.world.state("shipment", shipment_id(n));
        let mut bookings = books.bookings.values().filter(|(order, _)| *order == order_id(n));
        assert!(given_up || bookings.any(|(_, stands)| *stands) == completed, "order {n}");
        let called_off = [ShipmentStatus::Cancelled, ShipmentStatus::Failed];
        match shipment.requested {
            Some(_) if completed => assert_eq!(shipment.status, ShipmentStatus::Delivered),
            Some(_) => assert!(called_off.contains(&shipment.status), "order {n}: {shipment:?}"),
            None => assert!(!completed),
        }
    }
}
