//! Orders as documents, for analysts. A document has one source stream, the order's own: payment and shipment appear as the
//! order itself names them.

use domain::event::RecordedEvent;
use domain::ordering::order::{OrderEvent, OrderLine};
use domain::upcast::DecodeError;
use serde_json::json;

use crate::engine::index::{Form, SearchIndex};
use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, json, tenant, text};
use crate::engine::model::Projection;
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value, col};
use crate::ordering::orders::status_and_reason;

/// One document per order. The shipping address stays out: it is nothing to analyse.
pub static SEARCH_ORDERS: Table = Table {
    name: "search_orders",
    about: "One document per order, as the order itself tells of it.",
    key: &[TENANT, col("order_id", ColumnKind::Uuid, "The order")],
    groups: &[Group {
        name: "order",
        source: "order",
        columns: &[
            col("customer_id", ColumnKind::Uuid, "The customer's user id"),
            col(
                "status",
                ColumnKind::Text,
                "pending, stock_reserved, payment_unknown, paid, shipped, delivered, completed, rejected, cancelled",
            ),
            col("reason", ColumnKind::Text, "Why it ended without fulfilment; null otherwise"),
            col("currency", ColumnKind::Text, "ISO 4217 code"),
            col(
                "total_amount",
                ColumnKind::Int,
                "Price of all lines, in minor units (cents) of the currency",
            ),
            col("payment_id", ColumnKind::Uuid, "The payment"),
            col("shipment_id", ColumnKind::Uuid, "The shipment"),
            CREATED_AT,
            UPDATED_AT,
            col("lines", ColumnKind::Json, "The lines, as JSON"),
        ],
    }],
    indexes: &[],
};

/// For analysts.
pub static INDEX: SearchIndex = SearchIndex {
    forms: &[(
        "lines",
        Form::Objects(&[
            ("line", Form::Short),
            ("product_id", Form::Keyword),
            ("sku", Form::Keyword),
            ("name", Form::Keyword),
            ("quantity", Form::Number),
            ("unit_price_amount", Form::Number),
            ("line_total_amount", Form::Number),
        ]),
    )],
    ..SearchIndex::for_analysts("orders", "order", NAME, &SEARCH_ORDERS)
};

/// The name of the projection.
pub const NAME: &str = "search-orders";

/// The projection `search-orders`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SearchOrders;

impl Projection for SearchOrders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&SEARCH_ORDERS] }
    }

    fn index(&self) -> Option<&'static SearchIndex> {
        Some(&INDEX)
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != "order" {
            return Ok(vec![]);
        }
        let mut set = columns(event)?;
        set.push(("updated_at", Value::Time(event.time)));
        Ok(vec![RowChange {
            table: &SEARCH_ORDERS,
            key: vec![tenant(event), Value::Uuid(event.stream_uuid()?)],
            group: "order",
            version: event.version,
            set,
        }])
    }
}

fn columns(event: &RecordedEvent) -> Result<Vec<(&'static str, Value)>, DecodeError> {
    let happened = event.typed::<OrderEvent>()?;
    let mut set = status_and_reason(event, &happened)?;
    match happened {
        OrderEvent::Placed(placed) => set.extend([
            ("customer_id", Value::Uuid(placed.customer_id)),
            ("currency", text(placed.total.currency.code())),
            ("total_amount", Value::Int(placed.total.amount)),
            ("created_at", Value::Time(event.time)),
            ("lines", json(event, &placed.lines.iter().map(line).collect::<Vec<_>>())?),
        ]),
        OrderEvent::PaymentUnknown(unknown) => set.push(("payment_id", Value::Uuid(unknown.payment_id))),
        OrderEvent::Paid(paid) => set.extend([
            ("payment_id", Value::Uuid(paid.payment_id)),
            ("shipment_id", Value::Uuid(paid.shipment_id)),
        ]),
        _ => {}
    }
    Ok(set)
}

fn line(line: &OrderLine) -> serde_json::Value {
    json!({
        "line": line.line,
        "product_id": line.product_id,
        "sku": line.sku,
        "name": line.name,
        "quantity": line.quantity,
        "unit_price_amount": line.unit_price.amount,
        "line_total_amount": line.line_total.amount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{ID, event, set, text as t, usd};
    use domain::ordering::order::{OrderPaid, OrderPlaced, ShippingAddress};
    use domain::payments::payment::{PaymentEvent, PaymentRefundSettled};
    use domain::personal::Sealed;
    use uuid::Uuid;

    #[test]
    fn an_order_is_one_document_of_its_own_events() {
        // proves: QRY-2
        let sealed = || Sealed::from_text("v1.secret".into());
        let placed = OrderEvent::Placed(OrderPlaced {
            customer_id: ID,
            lines: vec![OrderLine {
                line: 1,
                product_id: Uuid::from_u128(9),
                product_version: 1,
                sku: "S".into(),
                name: "N".into(),
                quantity: 2,
                unit_price: usd(50),
                line_total: usd(100),
            }],
            total: usd(100),
            payment_method: "tok".into(),
            shipping_address: ShippingAddress {
                name: sealed(),
                line1: sealed(),
                city: sealed(),
                postal_code: sealed(),
                country: "DE".into(),
            },
            parts: None,
        });
        let rows = SearchOrders.map(&event("order", 1, &placed)).unwrap();
        assert_eq!(set(&rows[0], "total_amount"), Some(&Value::Int(100)));
        let Some(Value::Json(lines)) = set(&rows[0], "lines") else { panic!("no lines") };
        assert!(lines.contains(r#""sku":"S""#) && !lines.contains("secret"), "{lines}");
        let paid = OrderEvent::Paid(OrderPaid { payment_id: ID, shipment_id: Uuid::from_u128(8) });
        let rows = SearchOrders.map(&event("order", 2, &paid)).unwrap();
        assert_eq!((set(&rows[0], "status"), rows[0].version), (Some(&t("paid")), 2));
        assert_eq!(set(&rows[0], "lines"), None);
        let other = PaymentEvent::RefundSettled(PaymentRefundSettled {
            order_id: ID,
            refund_id: ID,
            provider_reference: "r".into(),
        });
        assert_eq!(SearchOrders.map(&event("payment", 3, &other)), Ok(vec![]));
    }
}
