//! What a user of Restate writes: the workflow of an order and the stock of a product, served over HTTP/2 by a process of their own.

use std::path::Path;
use std::sync::Arc;

use domain::money::{Currency, Money};
use domain::ports::clock::SystemClock;
use infra::shop::simulator::{Simulator, SimulatorConfig};
use restate_sdk::prelude::*;
use sagas::fulfilment::ports::{
    Booking, BookingRequest, Carrier as _, Charge, ChargeRequest, PaymentProvider as _,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The first argument of a process that serves the handlers; the second is the directory of the simulator's books.
pub(super) const ARGUMENT: &str = "restate-handlers";

/// Serves the handlers when this process is asked to, for good.
pub(crate) async fn serve_if_asked() {
    let mut args = std::env::args().skip(1);
    if args.next().is_none_or(|first| first != ARGUMENT) {
        return;
    }
    let dir = args.next().unwrap();
    let outside = Simulator::open(Path::new(&dir), Arc::new(SystemClock), SimulatorConfig::default());
    let endpoint = Endpoint::builder().bind(Stock).bind(Orders { outside: outside.unwrap() }).build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    HttpServer::new(endpoint).serve(listener).await;
    std::process::exit(0);
}

/// An order of one piece.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) product: String,
    pub(super) method: String,
    pub(super) cents: i64,
    pub(super) country: String,
}

/// The stock of a product. Restate runs one handler of it at a time, and a call of a workflow exactly once.
struct Stock;

#[object(client_visibility = "pub(self)")]
impl Stock {
    #[handler(name = "setOnHand")]
    async fn set_on_hand(&self, ctx: ObjectContext<'_>, pieces: i64) -> HandlerResult<()> {
        ctx.set("on_hand", pieces);
        Ok(())
    }

    #[handler]
    async fn reserve(&self, ctx: ObjectContext<'_>) -> HandlerResult<bool> {
        let on_hand = ctx.get::<i64>("on_hand").await?.unwrap_or(0);
        let reserved = ctx.get::<i64>("reserved").await?.unwrap_or(0);
        let enough = reserved < on_hand;
        if enough {
            ctx.set("reserved", reserved + 1);
        }
        Ok(enough)
    }

    #[handler]
    async fn release(&self, ctx: ObjectContext<'_>) -> HandlerResult<()> {
        let reserved = ctx.get::<i64>("reserved").await?.unwrap_or(0);
        ctx.set("reserved", reserved - 1);
        Ok(())
    }
}

/// The orders; each is a workflow under its id.
struct Orders {
    outside: Simulator,
}

#[workflow(client_visibility = "pub(self)")]
impl Orders {
    #[handler]
    async fn run(&self, ctx: WorkflowContext<'_>, order: Json<Order>) -> HandlerResult<String> {
        let order = order.into_inner();
        let id: Uuid = ctx.key().parse()?;
        let status = |now: &str| {
            ctx.set("status", Json(now.to_owned()));
            now.to_owned()
        };
        status("pending");
        if !ctx.object_client::<StockClient>(&order.product).reserve().call().await? {
            return Ok(status("rejected"));
        }
        status("stock_reserved");
        let captured = ctx.run(|| self.charge(id, &order)).name("charge").await?;
        if captured {
            ctx.run(|| self.book(id, &order)).name("book").await?;
            return Ok(status("paid"));
        }
        ctx.object_client::<StockClient>(&order.product).release().call().await?;
        Ok(status("cancelled"))
    }
}

impl Orders {
    /// Whether the provider took the money.
    async fn charge(&self, id: Uuid, order: &Order) -> HandlerResult<bool> {
        let request = ChargeRequest {
            key: format!("charge-{id}"),
            payment_id: id,
            order_id: id,
            amount: Money::new(order.cents, Currency::Eur),
            method: order.method.clone(),
        };
        Ok(matches!(self.outside.charge(&request).await?, Charge::Captured { .. }))
    }

    /// The carrier's reference.
    async fn book(&self, id: Uuid, order: &Order) -> HandlerResult<String> {
        let request = BookingRequest {
            key: format!("booking-{id}"),
            shipment_id: id,
            order_id: id,
            country: order.country.clone(),
        };
        match self.outside.book(&request).await? {
            Booking::Booked { reference } => Ok(reference),
            Booking::Refused { reason } => Err(TerminalError::new(reason).into()),
        }
    }
}
