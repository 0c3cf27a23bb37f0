//! What the streams of a product and of an order decide, from the first event to the last, as in the running program: the order starts its
//! fulfilment, and what a saga's worker tells the fulfilment has the order, the payment and the shipment decide beside it.

use std::time::Duration;

use domain::aggregate::AnyCommand;
use domain::catalogue::product::{ProductCommand, ProductDetails};
use domain::catalogue::sku_claim::{self, SkuClaimCommand};
use domain::command::Step;
use domain::inventory::{InventoryCommand, MAIN_WAREHOUSE};
use domain::money::{Currency, Money};
use domain::ordering::order::parts::TOGETHER;
use domain::ordering::order::{OrderCommand, OrderParts, RequestedLine, ShippingAddress};
use domain::payments::payment::DeclineReason;
use domain::personal::Sealed;
use domain::ports::clock::{Clock as _, SystemClock};
use domain::position::Shard;
use domain::shipping::shipment::ShipmentCommand;
use domain::stream::{DEFAULT_TENANT, StreamId, draw_id_for_all, draw_id_in_shard};
use domain::text::identifier;
use sagas::fulfilment::action::{ChargeResult, Outcome};
use sagas::fulfilment::events::Signal;
use sagas::fulfilment::steps::StepName;
use sagas::fulfilment::{FulfilmentCommand, KIND, Trigger};
use uuid::Uuid;

/// Stages of the longest story.
pub(crate) const STAGES: usize = 11;
/// Until stock that nobody paid for lapses.
const RESERVED_FOR: Duration = Duration::from_secs(900);
/// Customers share the orders.
const CUSTOMERS: usize = 20_000;
const CATEGORIES: [&str; 8] = ["kitchen", "garden", "books", "music", "toys", "shoes", "lamps", "tools"];

pub(crate) struct Product {
    pub(crate) id: Uuid,
    number: usize,
}

impl Product {
    /// The n-th product, and its first steps; as the program makes products: in the shard of the number's claim.
    pub(crate) fn make(number: usize, shards: u16) -> (Self, [Step; 3]) {
        let (details, price) = (details(number), price(number));
        let sku = identifier::normal(&details.sku).unwrap();
        let claim = sku_claim::stream(DEFAULT_TENANT, &sku);
        let id = draw_id_in_shard(DEFAULT_TENANT, "product", claim.shard(shards), shards);
        let stock = InventoryCommand::SetStock { warehouse: MAIN_WAREHOUSE.into(), on_hand: 1_000 };
        let steps = [
            Step::new(claim, SkuClaimCommand::Claim { product_id: id, sku, instead_of: None }),
            create("product", id, ProductCommand::Create { details, price }),
            create("inventory", id, stock),
        ];
        (Self { id, number }, steps)
    }
}

/// How an order goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Story {
    /// Paid, dispatched and delivered.
    Completed,
    /// It waits for the warehouse.
    Paid,
    /// And there is no shipment.
    Declined,
}

/// An order of one piece.
pub(crate) struct Order<'a> {
    pub(crate) id: Uuid,
    pub(crate) story: Story,
    customer: Uuid,
    parts: OrderParts,
    product: &'a Product,
}

impl<'a> Order<'a> {
    /// The n-th order.
    pub(crate) fn new(number: usize, product: &'a Product, shards: u16) -> Self {
        let shard = Shard(rand::random_range(0..shards));
        let id = draw_id_for_all(DEFAULT_TENANT, &TOGETHER, shard, shards);
        let story = match number % 10 {
            0 => Story::Declined,
            1 | 2 => Story::Paid,
            _ => Story::Completed,
        };
        let customer = Uuid::from_u128((number % CUSTOMERS) as u128 + (1 << 64));
        Self { id, story, customer, parts: OrderParts::beside(DEFAULT_TENANT, id, shards), product }
    }

    /// What is decided at a stage, from 0, if its story goes so far.
    pub(crate) fn step(&self, stage: usize) -> Option<Step> {
        let (order_id, line) = (self.id, 1);
        Some(match (stage, self.story) {
            (0, _) => create("order", order_id, self.placed()),
            (1, _) => {
                let expires_at = SystemClock.now() + RESERVED_FOR;
                self.stock(InventoryCommand::Reserve { order_id, line, quantity: 1, expires_at })
            }
            (2, _) => self.finished(StepName::Reserve(line), Outcome::Accepted),
            (3, Story::Declined) => {
                let declined = ChargeResult::Declined { reason: DeclineReason::Declined };
                self.finished(StepName::Charge, Outcome::Charge(declined))
            }
            (3, _) => {
                let captured = ChargeResult::Captured { provider_reference: reference() };
                self.finished(StepName::Charge, Outcome::Charge(captured))
            }
            (4, Story::Declined) => {
                let reason = "payment_declined".to_owned();
                self.stock(InventoryCommand::Release { order_id, line, reason })
            }
            (5, Story::Declined) => self.finished(StepName::Release(line), Outcome::Accepted),
            (4, _) => {
                self.finished(StepName::BookCarrier, Outcome::Booked { carrier_reference: reference() })
            }
            (5, Story::Completed) => self.shipment(ShipmentCommand::Dispatch),
            (6, Story::Completed) => self.tell(Trigger::Signalled(Signal::ShipmentDispatched)),
            (7, Story::Completed) => self.stock(InventoryCommand::Commit { order_id, line }),
            (8, Story::Completed) => self.finished(StepName::Commit(line), Outcome::Accepted),
            (9, Story::Completed) => self.shipment(ShipmentCommand::Deliver),
            (10, Story::Completed) => self.tell(Trigger::Signalled(Signal::ShipmentDelivered)),
            _ => return None,
        })
    }

    fn placed(&self) -> OrderCommand {
        let details = details(self.product.number);
        let line = RequestedLine {
            product_id: self.product.id,
            product_version: 1,
            sku: details.sku,
            name: details.name,
            quantity: 1,
            unit_price: price(self.product.number),
        };
        OrderCommand::Place {
            customer_id: self.customer,
            lines: vec![line],
            payment_method: if self.story == Story::Declined { "tok_declined" } else { "tok_visa" }.into(),
            shipping_address: address(),
            parts: Some(self.parts),
        }
    }

    fn stock(&self, command: InventoryCommand) -> Step {
        Step::new(stream("inventory", self.product.id), command)
    }

    fn shipment(&self, command: ShipmentCommand) -> Step {
        Step::new(stream("shipment", self.parts.shipment_id), command)
    }

    fn finished(&self, step: StepName, outcome: Outcome) -> Step {
        self.tell(Trigger::StepFinished { step, attempt: 1, outcome })
    }

    fn tell(&self, trigger: Trigger) -> Step {
        Step::new(stream(KIND, self.id), FulfilmentCommand::Handle(trigger))
    }
}

fn stream(kind: &str, id: Uuid) -> StreamId {
    StreamId::new(DEFAULT_TENANT, kind, id)
}

fn create(kind: &str, id: Uuid, command: impl AnyCommand) -> Step {
    Step::create(stream(kind, id), command)
}

/// What a provider or a carrier calls something.
fn reference() -> String {
    Uuid::now_v7().to_string()
}

fn details(number: usize) -> ProductDetails {
    let category = CATEGORIES[number % CATEGORIES.len()];
    ProductDetails {
        sku: format!("SKU-{number:08}"),
        name: format!("Thing {number} for {category}"),
        description: "As good as new, and cheaper than elsewhere.".into(),
        category: category.into(),
        attributes: [("colour".to_owned(), "blue".to_owned())].into(),
    }
}

fn price(number: usize) -> Money {
    Money::new(500 + (number % 20_000) as i64, Currency::Eur)
}

fn address() -> ShippingAddress {
    let sealed = || Sealed::from_text(format!("v1.{}", "A".repeat(54)));
    ShippingAddress {
        name: sealed(),
        line1: sealed(),
        city: sealed(),
        postal_code: sealed(),
        country: "DE".into(),
    }
}
