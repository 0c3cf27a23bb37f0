//! An order's payment and shipment, as their owners know them: what an answer about the order shows beside it.

use domain::ordering::order::{Order, OrderPayment, OrderShipment};
use domain::payments::payment::{Payment, PaymentStatus};
use domain::shipping::shipment::{Shipment, ShipmentStatus};
use domain::stream::StreamId;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::ordering::order_tag::OrderTag;
use crate::web::problem::Problem;
use crate::web::state::CommandState;

/// In a stored answer: the versions of payment and shipment that it shows. Never sent.
const VERSIONS: &str = "part_versions";

/// One of the two.
struct Part<S> {
    id: Uuid,
    status: S,
    version: u64,
}

/// Payment and shipment, each once it exists.
pub(crate) struct Parts {
    payment: Option<Part<PaymentStatus>>,
    shipment: Option<Part<ShipmentStatus>>,
}

impl Parts {
    /// Reads them, under the ids that they have from the first, whether they are there or not.
    pub(crate) async fn read(
        state: &CommandState,
        tenant: &str,
        id: Uuid,
        order: &Order,
    ) -> Result<Self, Problem> {
        let Some(placed) = &order.placed else { return Ok(Self { payment: None, shipment: None }) };
        let (payment_id, shipment_id) = (placed.payment_id(id), placed.shipment_id(id));
        let streams =
            [StreamId::new(tenant, "payment", payment_id), StreamId::new(tenant, "shipment", shipment_id)];
        let views = state.gateway.read(&streams).await?;
        let payment = views.first().and_then(|view| {
            let payment = view.state::<Payment>()?;
            Some(Part { id: payment_id, status: payment.status, version: view.meta.version })
        });
        let shipment = views.get(1).and_then(|view| {
            let shipment = view.state::<Shipment>()?;
            Some(Part { id: shipment_id, status: shipment.status, version: view.meta.version })
        });
        Ok(Self { payment, shipment })
    }

    /// Whether the shipment has left the warehouse, which the saga tells the order a moment later.
    pub(crate) fn have_left(&self) -> bool {
        let left = |status| matches!(status, ShipmentStatus::Dispatched | ShipmentStatus::Delivered);
        self.shipment.as_ref().is_some_and(|shipment| left(shipment.status))
    }

    /// The tag of the order with these parts.
    pub(crate) fn tag(&self, order: u64) -> OrderTag {
        let payment = self.payment.as_ref().map_or(0, |part| part.version);
        let shipment = self.shipment.as_ref().map_or(0, |part| part.version);
        OrderTag { order, payment, shipment }
    }

    /// What they add to the order's answer.
    pub(crate) fn beside(&self) -> Map<String, Value> {
        let tag = self.tag(0);
        let payment = self.payment.as_ref().map(|part| OrderPayment { id: part.id, status: part.status });
        let shipment = self.shipment.as_ref().map(|part| OrderShipment { id: part.id, status: part.status });
        let fields = [
            ("payment", json!(payment)),
            ("shipment", json!(shipment)),
            (VERSIONS, json!([tag.payment, tag.shipment])),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

/// Takes the versions out of an order's stored answer; answers its tag.
pub(crate) fn take_tag(answer: &mut Value) -> Option<OrderTag> {
    let order = answer["version"].as_u64()?;
    // An order that was just placed has neither part, and its answer no versions of them.
    let versions = answer.as_object_mut()?.remove(VERSIONS).unwrap_or_default();
    let version = |n: usize| versions[n].as_u64().unwrap_or_default();
    Some(OrderTag { order, payment: version(0), shipment: version(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: ORD-2
    #[test]
    fn a_stored_answer_keeps_its_parts_and_its_tag() {
        let payment = Some(Part { id: Uuid::nil(), status: PaymentStatus::Captured, version: 3 });
        let parts = Parts { payment, shipment: None };
        let mut answer = json!({"version": 4, "payment": null, "shipment": null});
        answer.as_object_mut().unwrap().extend(parts.beside());
        assert_eq!(take_tag(&mut answer), Some(parts.tag(4)));
        assert_eq!(parts.tag(4).to_string(), "4.3");
        let shown = json!({"id": Uuid::nil(), "status": "captured"});
        assert_eq!(answer, json!({"version": 4, "payment": shown, "shipment": null}));
        assert_eq!(take_tag(&mut json!({"version": 1})).unwrap().to_string(), "1");
    }
}
