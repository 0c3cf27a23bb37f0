use command_api::ordering::shown::Order;
use command_api::shipping::shown::Shipment;
use domain::Timestamp;
use domain::money::{Currency, Money};
use domain::ordering::order::OrderStatus;
use domain::shipping::shipment::ShipmentStatus;
use projections::ordering::orders::{OrderLineRow, OrderRow, PartRow};
use projections::shipping::ShipmentRow;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::Usd)
}

/// Reads what a row writes as the documented shape, which refuses unknown and missing fields.
fn read<T: DeserializeOwned>(row: &impl Serialize) -> T {
    serde_json::from_value(serde_json::to_value(row).unwrap()).unwrap()
}

// proves: OPS-5
#[test]
fn rows_have_the_documented_shapes() {
    let id = Uuid::from_u128(1);
    let part = |status: &str| Some(PartRow { id, status: status.into() });
    let line = OrderLineRow {
        line: 1,
        product_id: id,
        sku: "s".into(),
        name: "n".into(),
        quantity: 2,
        unit_price: usd(1),
        line_total: usd(2),
    };
    let order: Order = read(&OrderRow {
        id,
        status: "paid".into(),
        reason: None,
        items: vec![line],
        total: usd(2),
        payment: part("captured"),
        shipment: part("created"),
        customer_id: id,
        payment_method: "tok_visa".into(),
        version: 3,
        payment_version: 2,
        shipment_version: 1,
        created_at: AT,
        updated_at: AT,
    });
    assert_eq!(order.status, OrderStatus::Paid);
    let shipment: Shipment = read(&ShipmentRow {
        id,
        order_id: id,
        customer_id: id,
        status: "created".into(),
        carrier_reference: None,
        version: 2,
        created_at: AT,
        updated_at: AT,
    });
    assert_eq!(shipment.status, ShipmentStatus::Created);
}
