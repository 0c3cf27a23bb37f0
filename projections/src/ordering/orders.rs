//! Orders and their lines. An order's row has three sources: the order itself, its payment and its shipment, each with its own
//! group of columns, since their events come in any interleaving.

use std::fmt::Display;
use std::str::FromStr;

use domain::event::RecordedEvent;
use domain::ordering::order::{
    OrderEvent, OrderItem, OrderPayment, OrderPlaced, OrderShipment, OrderStatus, OrderView,
};
use domain::payments::payment::{PaymentEvent, PaymentStatus};
use domain::shipping::shipment::{ShipmentEvent, ShipmentStatus};
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, tenant, text, wire_name};
use crate::engine::model::Projection;
use crate::engine::query::Direction::Ascending;
use crate::engine::query::{Children, Condition, Listed, Page, Row, Select, Unreadable, View, first, list};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};
use crate::shipping;

/// One row per order; it exists for readers once `order_version` is above 0.
pub static ORDERS: Table = Table {
    name: "orders",
    about: "One row per order; rows with order_version 0 are known from their payment or shipment only and not an order yet.",
    key: &[TENANT, col("order_id", ColumnKind::Uuid, "The order")],
    groups: &[
        Group {
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
                col("payment_method", ColumnKind::Text, "The provider's token of the payment method"),
                col(
                    "paid_payment_id",
                    ColumnKind::Uuid,
                    "The payment that the order itself names once it is paid",
                ),
                col(
                    "paid_shipment_id",
                    ColumnKind::Uuid,
                    "The shipment that the order itself names once it is paid",
                ),
                CREATED_AT,
                UPDATED_AT,
            ],
        },
        Group {
            name: "payment",
            source: "payment",
            columns: &[
                col("payment_id", ColumnKind::Uuid, "The payment"),
                col(
                    "payment_status",
                    ColumnKind::Text,
                    "initiated, authorized, captured, declined, unknown, voided, partially_refunded, refunded",
                ),
            ],
        },
        Group {
            name: "shipment",
            source: "shipment",
            columns: &[
                col("shipment_id", ColumnKind::Uuid, "The shipment"),
                col(
                    "shipment_status",
                    ColumnKind::Text,
                    "requested, created, dispatched, delivered, failed, cancelled",
                ),
            ],
        },
    ],
    indexes: &[
        Index { name: "orders_by_created", on: &["tenant", "created_at", "order_id"], only: None },
        Index {
            name: "orders_by_customer",
            on: &["tenant", "customer_id", "created_at", "order_id"],
            only: None,
        },
        Index { name: "orders_by_status", on: &["tenant", "status", "created_at", "order_id"], only: None },
    ],
};

/// One row per line, as placed.
pub static ORDER_LINES: Table = Table {
    name: "order_lines",
    about: "One row per line of an order, as it was when the order was placed.",
    key: &[
        TENANT,
        col("order_id", ColumnKind::Uuid, "The order"),
        col("line", ColumnKind::Int, "Number of the line, from 1"),
    ],
    groups: &[Group {
        name: "line",
        source: "order",
        columns: &[
            col("product_id", ColumnKind::Uuid, "The product"),
            col("sku", ColumnKind::Text, "The product's article number then"),
            col("name", ColumnKind::Text, "The product's name then"),
            col("quantity", ColumnKind::Int, "Pieces"),
            col("currency", ColumnKind::Text, "ISO 4217 code"),
            col("unit_price_amount", ColumnKind::Int, "Price of one, in minor units (cents) of the currency"),
            col(
                "line_total_amount",
                ColumnKind::Int,
                "Price of the line, in minor units (cents) of the currency",
            ),
        ],
    }],
    indexes: &[],
};

/// The name of the projection.
pub const NAME: &str = "orders";

/// The projection `orders`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Orders;

impl Projection for Orders {
    fn name(&self) -> &'static str {
        NAME
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
fn implied_payment(order: OrderStatus, payment: Option<PaymentStatus>) -> PaymentStatus {
    use PaymentStatus::{Authorized, Captured, Initiated, Unknown};
    match payment {
        Some(Initiated | Authorized | Unknown) if order.has_reached(OrderStatus::Paid) => Captured,
        Some(status) => status,
        // Named by the order alone, which it does once it is paid.
        None => Captured,
    }
}

/// The shipment's status as an order shows it: at least what the order's own status implies.
fn implied_shipment(order: OrderStatus, shipment: Option<ShipmentStatus>) -> ShipmentStatus {
    use ShipmentStatus::{Cancelled, Created, Delivered, Dispatched, Failed, Requested};
    let rank = |status| match status {
        Requested => 0,
        Created => 1,
        Dispatched => 2,
        Delivered | Failed | Cancelled => 3,
    };
    let implied = match order {
        OrderStatus::Paid => Created,
        OrderStatus::Shipped => Dispatched,
        OrderStatus::Delivered | OrderStatus::Completed => Delivered,
        _ => Requested,
    };
    match shipment {
        Some(status) if rank(status) >= rank(implied) => status,
        None if implied == Requested => Created,
        _ => implied,
    }
}

fn item(row: &Row) -> Result<OrderItem, Unreadable> {
    Ok(OrderItem {
        line: row.number("line")?,
        product_id: row.uuid("product_id")?,
        sku: row.text("sku")?.to_owned(),
        name: row.text("name")?.to_owned(),
        quantity: row.number("quantity")?,
        unit_price: row.money("unit_price_amount")?,
        line_total: row.money("line_total_amount")?,
    })
}

impl View for OrderView {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &ORDERS;
    const CHILDREN: &'static [Children] = &[Children { table: &ORDER_LINES, order: &["line"] }];
    const BEGUN: Option<&'static str> = Some("order");

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        let status = row.parsed("status")?;
        let payment = part(row, "payment_id", "payment_status", "paid_payment_id")?
            .map(|(id, own)| OrderPayment { id, status: implied_payment(status, own) });
        let shipment = part(row, "shipment_id", "shipment_status", "paid_shipment_id")?
            .map(|(id, own)| OrderShipment { id, status: implied_shipment(status, own) });
        Ok(Self {
            id: row.uuid("order_id")?,
            status,
            reason: row.parsed_or_none("reason")?,
            items: row.children(0).iter().map(item).collect::<Result<_, _>>()?,
            total: row.money("total_amount")?,
            payment,
            shipment,
            customer_id: row.uuid("customer_id")?,
            payment_method: row.text("payment_method")?.to_owned(),
            version: row.version("order")?,
            payment_version: row.version("payment")?,
            shipment_version: row.version("shipment")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

/// A part of an order: its id, and its status where its own events have told one.
fn part<S: FromStr<Err: Display>>(
    row: &Row,
    own: &str,
    own_status: &str,
    named: &str,
) -> Result<Option<(Uuid, Option<S>)>, Unreadable> {
    let own_status = row.parsed_or_none(own_status)?;
    Ok(match (row.uuid_or_none(own)?, row.uuid_or_none(named)?) {
        // The order's own word counts, should its part ever be another one.
        (Some(own), Some(named)) if own != named => Some((named, None)),
        (Some(own), _) => Some((own, own_status)),
        (None, Some(named)) => Some((named, None)),
        (None, None) => None,
    })
}

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only this customer's.
    pub customer_id: Option<Uuid>,
    /// Only with this status.
    pub status: Option<OrderStatus>,
}

impl OrderFilter {
    /// The orders of a tenant that it lets through, in order of placing.
    #[must_use]
    pub fn select(&self, tenant: &str) -> Select {
        Select::of::<OrderView>(tenant)
            .and_some("customer_id", self.customer_id.map(Value::Uuid))
            .and_some("status", self.status.map(|status| text(status.as_str())))
            .by("created_at", Ascending)
            .by("order_id", Ascending)
    }
}

/// Questions about orders.
pub trait ReadOrders: ReadModels {
    /// An order.
    ///
    /// # Errors
    /// [`ReadError`].
    fn order(
        &self,
        tenant: &str,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<OrderView>, ReadError>> + Send {
        async move {
            first(self, Select::of::<OrderView>(tenant).and(Condition::Is("order_id", Value::Uuid(id)))).await
        }
    }

    /// Orders in order of placing.
    ///
    /// # Errors
    /// [`ReadError`].
    fn orders(
        &self,
        tenant: &str,
        filter: &OrderFilter,
        page: &Page,
    ) -> impl Future<Output = Result<Listed<OrderView>, ReadError>> + Send {
        async move { list(self, "orders-created", filter.select(tenant), page).await }
    }
}

impl<R: ReadModels + ?Sized> ReadOrders for R {}

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
        use OrderStatus::{Cancelled, Completed, Delivered, Paid, Pending, Shipped, StockReserved};
        for (order, own, shown) in [
            (Pending, Some(PaymentStatus::Initiated), PaymentStatus::Initiated),
            (Paid, Some(PaymentStatus::Initiated), PaymentStatus::Captured),
            (Paid, None, PaymentStatus::Captured),
            (Delivered, Some(PaymentStatus::Refunded), PaymentStatus::Refunded),
            (Cancelled, Some(PaymentStatus::Voided), PaymentStatus::Voided),
        ] {
            assert_eq!(implied_payment(order, own), shown, "{order} {own:?}");
        }
        for (order, own, shown) in [
            (StockReserved, Some(ShipmentStatus::Requested), ShipmentStatus::Requested),
            (Paid, Some(ShipmentStatus::Requested), ShipmentStatus::Created),
            (Paid, None, ShipmentStatus::Created),
            (Paid, Some(ShipmentStatus::Dispatched), ShipmentStatus::Dispatched),
            (Shipped, Some(ShipmentStatus::Created), ShipmentStatus::Dispatched),
            (Completed, None, ShipmentStatus::Delivered),
            (Cancelled, Some(ShipmentStatus::Cancelled), ShipmentStatus::Cancelled),
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
