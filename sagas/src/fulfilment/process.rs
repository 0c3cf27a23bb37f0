//! What fulfilment does in its order's shard: it starts with the order, and reaches the order, the payment and the shipment.

use domain::aggregate::{AnyCommand, Decided};
use domain::command::Step;
use domain::follow_on::Process;
use domain::ordering::order::{OrderCommand, OrderEvent, OrderParts};
use domain::stream::StreamId;
use uuid::Uuid;

use super::{FulfilmentCommand, KIND, Trigger};
use crate::fulfilment::config::Terms;

/// The process of fulfilment, for orders whose streams share their shard. Others are started by the worker.
#[derive(Debug, Clone)]
pub struct FulfilmentProcess {
    /// What the configuration says today.
    pub terms: Terms,
}

fn beside(tenant: &str, parts: OrderParts) -> [StreamId; 2] {
    [StreamId::new(tenant, "payment", parts.payment_id), StreamId::new(tenant, "shipment", parts.shipment_id)]
}

impl Process for FulfilmentProcess {
    fn reaches(&self, stream: &StreamId, command: &dyn AnyCommand, shards: u16) -> Vec<StreamId> {
        let (tenant, kind) = (stream.tenant(), stream.kind());
        let command = command.as_any();
        if let Some(OrderCommand::Place { parts: Some(parts), .. }) = command.downcast_ref() {
            return [StreamId::new(tenant, KIND, stream.id())]
                .into_iter()
                .chain(beside(tenant, *parts))
                .collect();
        }
        if kind != KIND || !command.is::<FulfilmentCommand>() {
            return Vec::new();
        }
        let order = StreamId::new(tenant, "order", stream.id());
        // An older order's shard is another one but by chance, and then nothing of it is called so.
        match stream.id().parse::<Uuid>() {
            Ok(order_id) if order.shard(shards) == stream.shard(shards) => {
                let parts = OrderParts::beside(tenant, order_id, shards);
                [order].into_iter().chain(beside(tenant, parts)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn follows(&self, stream: &StreamId, decided: &Decided) -> Vec<Step> {
        let Ok(order_id) = stream.id().parse::<Uuid>() else { return Vec::new() };
        let events = decided.typed::<Vec<OrderEvent>>().into_iter().flatten();
        let placed = events.filter_map(|event| match event {
            OrderEvent::Placed(placed) if placed.parts.is_some() => Some(placed),
            _ => None,
        });
        let start = |order: &domain::ordering::order::OrderPlaced| {
            let trigger =
                Trigger::OrderPlaced { order_id, order: Box::new(order.clone()), terms: self.terms.clone() };
            Step::new(StreamId::new(stream.tenant(), KIND, order_id), FulfilmentCommand::Handle(trigger))
        };
        placed.map(start).collect()
    }
}
