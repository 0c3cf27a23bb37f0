//! A shop's history in a log: events that the real aggregates decided, over all shards.

use std::collections::HashMap;
use std::sync::Arc;

use domain::Timestamp;
use domain::aggregate::{AnyCommand, DecisionContext, Registry, StreamState};
use domain::catalogue::product::{ProductCommand, ProductDetails};
use domain::command::CommandId;
use domain::event::{EventMeta, RecordedEvent, encode_event};
use domain::frame::{DecidedFrame, Tail, encode_frame};
use domain::identity::user::{Role, UserCommand};
use domain::inventory::InventoryCommand;
use domain::money::{Currency, Money};
use domain::ordering::order::{EndReason, OrderCommand, RequestedLine, ShippingAddress};
use domain::payments::payment::{DeclineReason, PaymentCommand, RefundReason};
use domain::personal::Sealed;
use domain::ports::log::{Decision, EventLog};
use domain::position::{Position, Shard};
use domain::shipping::shipment::ShipmentCommand;
use domain::stream::{DEFAULT_TENANT, StreamId};
use uuid::Uuid;

/// The log and what stands in it so far.
pub struct History {
    log: Arc<dyn EventLog>,
    registry: Registry,
    tails: Vec<Tail>,
    streams: HashMap<StreamId, (Box<dyn StreamState>, u64)>,
    now: i64,
    /// Every event, in the order of decision.
    pub events: Vec<Arc<RecordedEvent>>,
    /// The frames, in the order of decision.
    pub frames: Vec<Arc<DecidedFrame>>,
}

/// How a made-up order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Paid and delivered, then partly refunded.
    Delivered,
    /// Paid, not yet dispatched.
    Paid,
    /// The provider declines.
    Declined,
    /// Nothing on hand.
    OutOfStock,
}

impl History {
    /// A history in an empty log.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        let tails = (0..log.store().shards).map(|shard| Tail::empty(Shard(shard))).collect();
        Self {
            log,
            registry: sagas::registry(),
            tails,
            streams: HashMap::new(),
            now: 1_700_000_000_000_000,
            events: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// A history that goes on where a log ends. Streams that are there already are not known to it: it begins new ones.
    pub async fn going_on(log: Arc<dyn EventLog>) -> Self {
        let mut history = Self::new(Arc::clone(&log));
        for tail in &mut history.tails {
            let shard = tail.slot.shard;
            let end = log.frame_of_position(Position { shard, n: u64::MAX }).await.expect("a log");
            for bytes in log.read_frames(shard, (end - 1).max(1), 1, 0).await.expect("a log") {
                let last = DecidedFrame::decode(&bytes).expect("a frame");
                *tail = Tail::after(&last.header, last.hash);
            }
        }
        history
    }

    /// Has a command decided, in a frame of its own.
    pub async fn decide(&mut self, stream: &StreamId, command: impl AnyCommand) -> Vec<Arc<RecordedEvent>> {
        let initial = || (self.registry.initial(stream.kind()).expect("a shop's stream"), 0);
        let (mut state, version) = self.streams.remove(stream).unwrap_or_else(initial);
        self.now += 1_000;
        let now = Timestamp::from_timestamp_micros(self.now).expect("an instant");
        let context = DecisionContext { stream: stream.clone(), now, version };
        let decided = state.decide(&command, &context).expect("a lawful command");
        let id = CommandId::fresh();
        let mut bytes = Vec::new();
        for (n, event) in (version + 1..).zip(&decided.events) {
            let meta = EventMeta {
                id: Uuid::now_v7(),
                time: now,
                stream,
                version: n,
                correlation_id: id.0,
                causation_id: id.0,
                actor: "system:history",
            };
            let mut one = Vec::new();
            encode_event(&meta, event, &mut one);
            bytes.push(one);
        }
        let version = version + decided.events.len() as u64;
        state.evolve(decided);
        self.streams.insert(stream.clone(), (state, version));
        self.put(stream, &bytes).await
    }

    /// Puts an event of any type into the log, behind the aggregates' back.
    pub async fn forge(
        &mut self,
        stream: &StreamId,
        event_type: &'static str,
        data: &str,
    ) -> Arc<RecordedEvent> {
        let initial = || (self.registry.initial(stream.kind()).expect("a shop's stream"), 0);
        let entry = self.streams.entry(stream.clone()).or_insert_with(initial);
        entry.1 += 1;
        self.now += 1_000;
        let id = CommandId::fresh();
        let meta = EventMeta {
            id: Uuid::now_v7(),
            time: Timestamp::from_timestamp_micros(self.now).expect("an instant"),
            stream,
            version: entry.1,
            correlation_id: id.0,
            causation_id: id.0,
            actor: "system:history",
        };
        let event = domain::event::NewEvent {
            event_type: event_type.into(),
            schema_version: 1,
            data: data.to_owned(),
        };
        let mut bytes = Vec::new();
        encode_event(&meta, &event, &mut bytes);
        self.put(stream, &[bytes]).await.remove(0)
    }

    async fn put(&mut self, stream: &StreamId, events: &[Vec<u8>]) -> Vec<Arc<RecordedEvent>> {
        if events.is_empty() {
            return Vec::new();
        }
        let store = self.log.store();
        let tail = &mut self.tails[usize::from(stream.shard(store.shards).0)];
        let frame = encode_frame(store.id, tail, 1, Uuid::new_v4(), events, &[]);
        *tail = Tail::after(&frame.header, frame.hash);
        let decided = Arc::new(DecidedFrame::decode(&frame.bytes).expect("a frame that was just encoded"));
        assert_eq!(self.log.propose(Arc::new(frame)).await, Ok(Decision::Decided));
        self.events.extend(decided.events.iter().cloned());
        self.frames.push(Arc::clone(&decided));
        decided.events.clone()
    }

    /// The last position of every shard.
    #[must_use]
    pub fn heads(&self) -> Vec<Position> {
        self.tails.iter().map(|tail| Position { shard: tail.slot.shard, n: tail.head() }).collect()
    }

    /// A product for sale.
    pub async fn product(&mut self, details: ProductDetails, cents: i64) -> Uuid {
        self.priced_product(details, usd(cents)).await
    }

    /// A product for sale, in any currency.
    pub async fn priced_product(&mut self, details: ProductDetails, price: Money) -> Uuid {
        let id = Uuid::now_v7();
        self.decide(&stream("product", id), ProductCommand::Create { details, price }).await;
        id
    }

    /// A small shop: products with stock and changes, users, and orders that go as the stories say.
    pub async fn shop(&mut self, stories: &[Story]) -> Vec<Uuid> {
        let mut products = Vec::new();
        for n in 0..5 {
            let id = self.product(details(n), 1_000 + 100 * n).await;
            self.decide(
                &stream("inventory", id),
                InventoryCommand::SetStock { warehouse: "main".into(), on_hand: 1_000 },
            )
            .await;
            products.push(id);
        }
        let other = InventoryCommand::SetStock { warehouse: "north".into(), on_hand: 7 };
        self.decide(&stream("inventory", products[0]), other).await;
        let mut changed = details(1);
        changed.name = "Crème brûlée torch".into();
        self.decide(
            &stream("product", products[1]),
            ProductCommand::Update { details: changed, price: usd(4_200) },
        )
        .await;
        self.decide(&stream("product", products[4]), ProductCommand::Discontinue).await;
        let mut orders = Vec::new();
        for (n, story) in stories.iter().enumerate() {
            let customer = self.user().await;
            orders.push(self.order(customer, products[n % 4], *story).await);
        }
        orders
    }

    async fn user(&mut self) -> Uuid {
        let id = Uuid::now_v7();
        let sealed = |text: &str| Sealed::from_text(format!("v1.{text}"));
        let register = UserCommand::Register {
            email_claim: "claim".into(),
            email: sealed("email"),
            name: sealed("name"),
            password_hash: sealed("hash"),
            roles: vec![Role::Customer],
        };
        self.decide(&stream("user", id), register).await;
        self.decide(&stream("user", id), UserCommand::Rename { name: sealed("other") }).await;
        id
    }

    async fn order(&mut self, customer_id: Uuid, product_id: Uuid, story: Story) -> Uuid {
        let id = Uuid::now_v7();
        let (order, stock) = (stream("order", id), stream("inventory", product_id));
        let line = |sku: &str, quantity| RequestedLine {
            product_id,
            product_version: 1,
            sku: sku.into(),
            name: "a thing".into(),
            quantity,
            unit_price: usd(1_000),
        };
        let place = OrderCommand::Place {
            customer_id,
            lines: vec![line("A-1", 2), line("A-2", 1)],
            payment_method: "tok_visa".into(),
            shipping_address: address(),
            parts: None,
        };
        self.decide(&order, place).await;
        if story == Story::OutOfStock {
            self.decide(&order, OrderCommand::Reject { reason: EndReason::OutOfStock }).await;
            return id;
        }
        let expires_at = Timestamp::from_timestamp_micros(self.now + 900_000_000).expect("an instant");
        for (line, quantity) in [(1, 2), (2, 1)] {
            self.decide(&stock, InventoryCommand::Reserve { order_id: id, line, quantity, expires_at }).await;
        }
        self.decide(&order, OrderCommand::ConfirmStock).await;
        let payment_id = Uuid::now_v7();
        let payment = stream("payment", payment_id);
        let initiate = PaymentCommand::Initiate {
            order_id: id,
            customer_id,
            amount: usd(3_000),
            method: "tok_visa".into(),
            provider_key: format!("key-{payment_id}"),
        };
        self.decide(&payment, initiate).await;
        if story == Story::Declined {
            self.decide(&payment, PaymentCommand::RecordDeclined { reason: DeclineReason::Declined }).await;
            for line in [1, 2] {
                let release = InventoryCommand::Release { order_id: id, line, reason: "declined".into() };
                self.decide(&stock, release).await;
            }
            self.decide(&order, OrderCommand::Cancel { reason: EndReason::PaymentDeclined }).await;
            return id;
        }
        self.decide(&payment, PaymentCommand::RecordCaptured { provider_reference: "ch_1".into() }).await;
        let shipment_id = Uuid::now_v7();
        let shipment = stream("shipment", shipment_id);
        let request = ShipmentCommand::Request {
            order_id: id,
            customer_id,
            address: address(),
            carrier_key: format!("key-{shipment_id}"),
        };
        self.decide(&shipment, request).await;
        self.decide(&shipment, ShipmentCommand::RecordCreated { carrier_reference: "car_1".into() }).await;
        self.decide(&order, OrderCommand::ConfirmPayment { payment_id, shipment_id }).await;
        if story == Story::Paid {
            return id;
        }
        self.decide(&shipment, ShipmentCommand::Dispatch).await;
        for line in [1, 2] {
            self.decide(&stock, InventoryCommand::Commit { order_id: id, line }).await;
        }
        self.decide(&order, OrderCommand::MarkShipped { shipment_id }).await;
        self.decide(&shipment, ShipmentCommand::Deliver).await;
        self.decide(&order, OrderCommand::MarkDelivered).await;
        let refund_id = Uuid::now_v7();
        let reason = RefundReason::Sealed(Sealed::from_text("v1.a-scratch".into()));
        let refund = PaymentCommand::Refund { refund_id, amount: usd(500), reason };
        self.decide(&payment, refund).await;
        let settle = PaymentCommand::SettleRefund { refund_id, provider_reference: "re_1".into() };
        self.decide(&payment, settle).await;
        self.decide(&order, OrderCommand::Complete).await;
        id
    }
}

/// A stream of the default tenant.
#[must_use]
pub fn stream(kind: &str, id: Uuid) -> StreamId {
    StreamId::new(DEFAULT_TENANT, kind, id)
}

/// US cents.
#[must_use]
pub fn usd(cents: i64) -> Money {
    Money::new(cents, Currency::Usd)
}

/// What the n-th product is.
#[must_use]
pub fn details(n: i64) -> ProductDetails {
    ProductDetails {
        sku: format!("SKU-{n}"),
        name: format!("Thing number {n}"),
        description: "Does what it says".into(),
        // Two spellings of one category among them.
        category: ["even", "odd", "even", " ODD"][n.rem_euclid(4) as usize].into(),
        attributes: [("colour".to_owned(), "blue".to_owned())].into(),
    }
}

fn address() -> ShippingAddress {
    let sealed = |text: &str| Sealed::from_text(format!("v1.{text}"));
    ShippingAddress {
        name: sealed("n"),
        line1: sealed("l"),
        city: sealed("c"),
        postal_code: sealed("p"),
        country: "NL".into(),
    }
}
