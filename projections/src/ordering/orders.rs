//! Orders and their lines. An order's row has three sources: the order itself, its payment and its shipment, each with its own
//! group of columns, since their events come in any interleaving.

use domain::event::RecordedEvent;
use domain::ordering::order::{OrderEvent, OrderPlaced, OrderStatus};
use domain::payments::payment::{PaymentEvent, PaymentStatus};
use domain::shipping::shipment::ShipmentEvent;
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, col, tenant, text, wire_name};
use crate::engine::model::Projection;
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value};
use crate::shipping;

/// One row per order; it exists for readers once `order_version` is above 0.
pub static ORDERS: Table = Table {
    name: "orders",
    key: &[TENANT, col("order_id", ColumnKind::Uuid)],
    groups: &[
        Group {
            name: "order",
            columns: &[
                col("customer_id", ColumnKind::Uuid),
                col("status", ColumnKind::Text),
                col("reason", ColumnKind::Text),
                col("currency", ColumnKind::Text),
                col("total_amount", ColumnKind::Int),
                col("payment_method", ColumnKind::Text),
                // The order itself names these once it is paid, perhaps before their own events were seen.
                col("paid_payment_id", ColumnKind::Uuid),
                col("paid_shipment_id", ColumnKind::Uuid),
                CREATED_AT,
                UPDATED_AT,
            ],
        },
        Group {
            name: "payment",
            columns: &[col("payment_id", ColumnKind::Uuid), col("payment_status", ColumnKind::Text)],
        },
        Group {
            name: "shipment",
            columns: &[col("shipment_id", ColumnKind::Uuid), col("shipment_status", ColumnKind::Text)],
        },
    ],
};

/// One row per line, as placed.
pub static ORDER_LINES: Table = Table {
    name: "order_lines",
    key: &[TENANT, col("order_id", ColumnKind::Uuid), col("line", ColumnKind::Int)],
    groups: &[Group {
        name: "line",
        columns: &[
            col("product_id", ColumnKind::Uuid),
            col("sku", ColumnKind::Text),
            col("name", ColumnKind::Text),
            col("quantity", ColumnKind::Int),
            col("currency", ColumnKind::Text),
            col("unit_price_amount", ColumnKind::Int),
            col("line_total_amount", ColumnKind::Int),
        ],
    }],
};

/// The projection `orders`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Orders;

impl Projection for Orders {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&ORDERS, &ORDER_LINES] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        match event.stream.kind() {
            "order" => order(event),
            "payment" => payment(event),
            "shipment" => shipment(event),
            _ => Ok(vec![]),
        }
    }
}

fn order(event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
    let id = event.stream_uuid()?;
    let happened = event.typed::<OrderEvent>()?;
    let mut rows = Vec::new();
    let mut set = status_and_reason(event, &happened)?;
    match happened {
        OrderEvent::Placed(placed) => {
            rows = lines(event, id, &placed);
            set.extend([
                ("customer_id", Value::Uuid(placed.customer_id)),
                ("currency", text(placed.total.currency.code())),
                ("total_amount", Value::Int(placed.total.amount)),
                ("payment_method", text(placed.payment_method)),
                ("created_at", Value::Time(event.time)),
            ]);
        }
        OrderEvent::Paid(paid) => set.extend([
            ("paid_payment_id", Value::Uuid(paid.payment_id)),
            ("paid_shipment_id", Value::Uuid(paid.shipment_id)),
        ]),
        _ => {}
    }
    set.push(("updated_at", Value::Time(event.time)));
    rows.push(change(event, id, "order", set));
    Ok(rows)
}

/// The columns `status` and `reason`, as far as an event changes them.
pub(crate) fn status_and_reason(
    event: &RecordedEvent,
    happened: &OrderEvent,
) -> Result<Vec<(&'static str, Value)>, DecodeError> {
    let (status, reason) = match happened {
        OrderEvent::Placed(_) => (OrderStatus::Pending, None),
        OrderEvent::StockReserved(_) => (OrderStatus::StockReserved, None),
        OrderEvent::PaymentUnknown(_) => (OrderStatus::PaymentUnknown, None),
        OrderEvent::Paid(_) => (OrderStatus::Paid, None),
        OrderEvent::Shipped(_) => (OrderStatus::Shipped, None),
        OrderEvent::Delivered(_) => (OrderStatus::Delivered, None),
        OrderEvent::Completed(_) => (OrderStatus::Completed, None),
        OrderEvent::Rejected(rejected) => (OrderStatus::Rejected, Some(wire_name(event, &rejected.reason)?)),
        OrderEvent::Cancelled(cancelled) => {
            (OrderStatus::Cancelled, Some(wire_name(event, &cancelled.reason)?))
        }
        // Whether somebody wants it cancelled doesn't change the status.
        OrderEvent::CancellationRequested(_) | OrderEvent::CancellationRefused(_) => return Ok(vec![]),
    };
    let mut set = vec![("status", wire_name(event, &status)?)];
    set.extend(reason.map(|reason| ("reason", reason)));
    Ok(set)
}

fn lines(event: &RecordedEvent, order: Uuid, placed: &OrderPlaced) -> Vec<RowChange> {
    let row = |line: &domain::ordering::order::OrderLine| RowChange {
        table: &ORDER_LINES,
        key: vec![tenant(event), Value::Uuid(order), Value::Int(i64::from(line.line))],
        group: "line",
        version: event.version,
        set: vec![
            ("product_id", Value::Uuid(line.product_id)),
            ("sku", text(line.sku.as_str())),
            ("name", text(line.name.as_str())),
            ("quantity", Value::Int(i64::from(line.quantity))),
            ("currency", text(line.unit_price.currency.code())),
            ("unit_price_amount", Value::Int(line.unit_price.amount)),
            ("line_total_amount", Value::Int(line.line_total.amount)),
        ],
    };
    placed.lines.iter().map(row).collect()
}

fn payment(event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
    let (order, status) = match event.typed::<PaymentEvent>()? {
        PaymentEvent::Initiated(e) => (e.order_id, Some(PaymentStatus::Initiated)),
        PaymentEvent::Authorized(e) => (e.order_id, Some(PaymentStatus::Authorized)),
        PaymentEvent::Captured(e) => (e.order_id, Some(PaymentStatus::Captured)),
        PaymentEvent::Declined(e) => (e.order_id, Some(PaymentStatus::Declined)),
        PaymentEvent::Unknown(e) => (e.order_id, Some(PaymentStatus::Unknown)),
        PaymentEvent::Voided(e) => (e.order_id, Some(PaymentStatus::Voided)),
        PaymentEvent::Refunded(e) => (e.order_id, Some(e.status)),
        PaymentEvent::RefundFailed(e) => (e.order_id, Some(e.status)),
        PaymentEvent::RefundResolved(e) => (e.order_id, Some(e.status)),
        // Changes nothing here but the payment's version, which the order's tag tells.
        PaymentEvent::RefundSettled(e) => (e.order_id, None),
    };
    let mut set = vec![("payment_id", Value::Uuid(event.stream_uuid()?))];
    if let Some(status) = status {
        set.push(("payment_status", wire_name(event, &status)?));
    }
    Ok(vec![change(event, order, "payment", set)])
}

fn shipment(event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
    let decoded = event.typed::<ShipmentEvent>()?;
    let status = shipping::status_after(&decoded);
    let order = match decoded {
        ShipmentEvent::Requested(e) => e.order_id,
        ShipmentEvent::Created(e) => e.order_id,
        ShipmentEvent::Failed(e) => e.order_id,
        ShipmentEvent::Cancelled(e) => e.order_id,
        ShipmentEvent::Dispatched(e) => e.order_id,
        ShipmentEvent::Delivered(e) => e.order_id,
    };
    let set = vec![
        ("shipment_id", Value::Uuid(event.stream_uuid()?)),
        ("shipment_status", wire_name(event, &status)?),
    ];
    Ok(vec![change(event, order, "shipment", set)])
}

fn change(
    event: &RecordedEvent,
    order: Uuid,
    group: &'static str,
    set: Vec<(&'static str, Value)>,
) -> RowChange {
    RowChange {
        table: &ORDERS,
        key: vec![tenant(event), Value::Uuid(order)],
        group,
        version: event.version,
        set,
    }
}

/// The payment's status as an order shows it: at least what the order's own status implies, since the payment's events may
/// be seen later than the order's.
#[must_use]
pub fn implied_payment<'a>(order_status: &str, payment_status: Option<&'a str>) -> &'a str {
    let paid = matches!(order_status, "paid" | "shipped" | "delivered" | "completed");
    match payment_status {
        Some("initiated" | "authorized" | "unknown") if paid => "captured",
        Some(status) => status,
        // Named by the order alone, which it does once it is paid.
        None => "captured",
    }
}

/// The shipment's status as an order shows it: at least what the order's own status implies.
#[must_use]
pub fn implied_shipment<'a>(order_status: &str, shipment_status: Option<&'a str>) -> &'a str {
    let rank = |status: &str| match status {
        "requested" => 0,
        "created" => 1,
        "dispatched" => 2,
        // Delivered, failed, cancelled: ends.
        _ => 3,
    };
    let implied = match order_status {
        "paid" => "created",
        "shipped" => "dispatched",
        "delivered" | "completed" => "delivered",
        _ => "requested",
    };
    match shipment_status {
        Some(status) if rank(status) >= rank(implied) => status,
        Some(_) => implied,
        None if implied == "requested" => "created",
        None => implied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{ID, event, set, stored, text, usd};
    use domain::ordering::order::{EndReason, OrderCancelled, OrderLine, OrderPaid, ShippingAddress};
    use domain::payments::payment::{PaymentCaptured, PaymentRefundSettled};
    use domain::personal::Sealed;
    use domain::shipping::shipment::ShipmentDispatched;

    fn placed() -> OrderEvent {
        let line = |line| OrderLine {
            line,
            product_id: Uuid::from_u128(9),
            product_version: 1,
            sku: "S".into(),
            name: "N".into(),
            quantity: 2,
            unit_price: usd(50),
            line_total: usd(100),
        };
        let sealed = || Sealed::from_text("v1.secret".into());
        let shipping_address = ShippingAddress {
            name: sealed(),
            line1: sealed(),
            city: sealed(),
            postal_code: sealed(),
            country: "DE".into(),
        };
        OrderEvent::Placed(OrderPlaced {
            customer_id: Uuid::from_u128(8),
            lines: vec![line(1), line(2)],
            total: usd(200),
            payment_method: "tok".into(),
            shipping_address,
            parts: None,
        })
    }

    #[test]
    fn a_placed_order_is_a_row_and_its_lines() {
        let rows = Orders.map(&event("order", 1, &placed())).unwrap();
        assert_eq!(
            rows.iter().map(|row| row.table.name).collect::<Vec<_>>(),
            ["order_lines", "order_lines", "orders"]
        );
        assert_eq!(rows[1].key[2], Value::Int(2));
        assert_eq!(set(&rows[1], "line_total_amount"), Some(&Value::Int(100)));
        assert_eq!(rows[2].key, [text("default"), Value::Uuid(ID)]);
        assert_eq!(set(&rows[2], "status"), Some(&text("pending")));
        assert_eq!(set(&rows[2], "total_amount"), Some(&Value::Int(200)));
        // The address stays in the log.
        assert!(!format!("{rows:?}").contains("secret"));
    }

    #[test]
    fn parts_of_an_order_have_groups_of_their_own() {
        let captured = PaymentEvent::Captured(PaymentCaptured {
            order_id: Uuid::from_u128(5),
            captured: usd(200),
            provider_reference: "ch".into(),
        });
        let rows = Orders.map(&event("payment", 2, &captured)).unwrap();
        assert_eq!((rows[0].group, rows[0].version), ("payment", 2));
        assert_eq!(rows[0].key[1], Value::Uuid(Uuid::from_u128(5)));
        assert_eq!(set(&rows[0], "payment_id"), Some(&Value::Uuid(ID)));
        assert_eq!(set(&rows[0], "payment_status"), Some(&text("captured")));
        let dispatched = ShipmentEvent::Dispatched(ShipmentDispatched { order_id: Uuid::from_u128(5) });
        let rows = Orders.map(&event("shipment", 3, &dispatched)).unwrap();
        assert_eq!(
            (rows[0].group, set(&rows[0], "shipment_status")),
            ("shipment", Some(&text("dispatched")))
        );
        let settled = PaymentEvent::RefundSettled(PaymentRefundSettled {
            order_id: Uuid::from_u128(5),
            refund_id: ID,
            provider_reference: "re".into(),
        });
        let rows = Orders.map(&event("payment", 3, &settled)).unwrap();
        assert_eq!((rows[0].version, set(&rows[0], "payment_status")), (3, None));
    }

    #[test]
    fn a_paid_order_names_its_parts() {
        let paid = OrderPaid { payment_id: Uuid::from_u128(1), shipment_id: Uuid::from_u128(2) };
        let rows = Orders.map(&event("order", 3, &OrderEvent::Paid(paid))).unwrap();
        assert_eq!(set(&rows[0], "paid_shipment_id"), Some(&Value::Uuid(Uuid::from_u128(2))));
        let cancelled = OrderCancelled { reason: EndReason::PaymentDeclined };
        let rows = Orders.map(&event("order", 4, &OrderEvent::Cancelled(cancelled))).unwrap();
        assert_eq!(set(&rows[0], "reason"), Some(&text("payment_declined")));
    }

    #[test]
    fn parts_show_at_least_what_the_order_implies() {
        // proves: ORD-1
        for (order, own, shown) in [
            ("pending", Some("initiated"), "initiated"),
            ("paid", Some("initiated"), "captured"),
            ("paid", None, "captured"),
            ("delivered", Some("refunded"), "refunded"),
            ("cancelled", Some("voided"), "voided"),
        ] {
            assert_eq!(implied_payment(order, own), shown, "{order} {own:?}");
        }
        for (order, own, shown) in [
            ("stock_reserved", Some("requested"), "requested"),
            ("paid", Some("requested"), "created"),
            ("paid", None, "created"),
            ("paid", Some("dispatched"), "dispatched"),
            ("shipped", Some("created"), "dispatched"),
            ("completed", None, "delivered"),
            ("cancelled", Some("cancelled"), "cancelled"),
        ] {
            assert_eq!(implied_shipment(order, own), shown, "{order} {own:?}");
        }
    }

    #[test]
    fn what_cant_be_read_is_an_error_and_what_isnt_meant_is_nothing() {
        assert!(Orders.map(&stored("order", 1, "order.placed", 1, "{}")).is_err());
        assert!(Orders.map(&stored("order", 1, "order.sung", 1, "{}")).is_err());
        assert!(Orders.map(&stored("order", 1, "order.delivered", 9, "{}")).is_err());
        assert!(Orders.map(&stored("novel", 1, "novel.begun", 1, "?")).unwrap().is_empty());
    }
}
