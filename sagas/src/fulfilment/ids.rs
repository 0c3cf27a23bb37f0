//! Ids that a saga draws for what it makes: always the same for the same order, so that a repeat makes nothing twice.

use domain::command::CommandId;
use domain::ordering::order::parts::derived;
pub use domain::ordering::order::parts::{payment_id, shipment_id};
use uuid::Uuid;

use crate::fulfilment::steps::StepName;

/// How many times at most the saga has a refund tried: what it asked for is found by trying them out.
pub const MAX_REFUNDS: u32 = 100;

/// The refund by which the n-th attempt, from 1, gives back what is left of the order's payment.
#[must_use]
pub fn refund_id(order_id: Uuid, attempt: u32) -> Uuid {
    derived(order_id, "refund", attempt)
}

/// Which attempt of the saga a refund is; `None` when somebody else asked for it.
#[must_use]
pub fn refund_attempt(order_id: Uuid, id: Uuid) -> Option<u32> {
    // All of the saga's begin with the order's time, which spares others' the search.
    let may_be = id.as_bytes()[..6] == order_id.as_bytes()[..6];
    (1..=MAX_REFUNDS).filter(|_| may_be).find(|attempt| refund_id(order_id, *attempt) == id)
}

/// The key under which the provider makes repeated calls for a payment one charge.
#[must_use]
pub fn provider_key(payment_id: Uuid) -> String {
    format!("payment-{payment_id}")
}

/// The key under which the carrier makes repeated calls for a shipment one booking.
#[must_use]
pub fn carrier_key(shipment_id: Uuid) -> String {
    format!("shipment-{shipment_id}")
}

/// The id of the command that an attempt of a step sends to an aggregate.
#[must_use]
pub fn step_command(order_id: Uuid, step: StepName, attempt: u32) -> CommandId {
    let (order, step, attempt) = (order_id.to_string(), step.to_string(), attempt.to_string());
    CommandId::derived(&["saga", "fulfilment", &order, &step, &attempt])
}

/// The id of the command that has the saga handle a piece of work.
#[must_use]
pub fn handle_command(order_id: Uuid, work_id: &str) -> CommandId {
    CommandId::derived(&["saga", "fulfilment", &order_id.to_string(), "handle", work_id])
}

/// The id of the command that records a refund as paid back.
#[must_use]
pub fn settle_command(payment_id: Uuid, refund_id: Uuid) -> CommandId {
    CommandId::derived(&["saga", "refund", &payment_id.to_string(), &refund_id.to_string()])
}

/// The id of the command that records that the provider will never pay a refund back.
#[must_use]
pub fn fail_command(payment_id: Uuid, refund_id: Uuid) -> CommandId {
    CommandId::derived(&["saga", "refund", &payment_id.to_string(), &refund_id.to_string(), "failed"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_uuids_of_version_7_with_the_orders_time() {
        let order = Uuid::now_v7();
        let ids = [payment_id(order, 1), payment_id(order, 2), shipment_id(order, 1), refund_id(order, 1)];
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(id.get_version(), Some(uuid::Version::SortRand));
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(id.as_bytes()[..6], order.as_bytes()[..6]);
            assert!(!ids[..n].contains(id));
        }
        assert_eq!(payment_id(order, 1), ids[0]);
        assert_eq!(refund_attempt(order, refund_id(order, 7)), Some(7));
        assert_eq!(refund_attempt(order, ids[0]), None);
        assert_eq!(refund_attempt(Uuid::now_v7(), refund_id(order, 7)), None);
    }
}
