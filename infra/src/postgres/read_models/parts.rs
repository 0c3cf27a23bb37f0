//! Stock, payments, shipments and users, by id.

use domain::money::{Currency, Money};
use domain::personal::Sealed;
use projections::read_models::{PaymentRow, RefundRow, ShipmentRow, StockRow, UserRow};
use serde::Deserialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::{json, list, money, number};
use super::sql::Query;
use crate::refund_reason::reason;

pub(super) fn stock(tenant: &str, products: &[Uuid]) -> Query {
    let mut query = Query::of_tenant(include_str!("select_stock.sql"), tenant);
    let products = query.value(products);
    query.and(&format!("product_id = ANY ({products})"));
    query.ordered("product_id, warehouse COLLATE \"C\"", usize::MAX);
    query
}

pub(super) fn stock_row(row: &PgRow) -> sqlx::Result<StockRow> {
    Ok(StockRow {
        product_id: row.try_get("product_id")?,
        warehouse: row.try_get("warehouse")?,
        on_hand: number(row, "on_hand")?,
        reserved: number(row, "reserved")?,
    })
}

pub(super) fn payment(tenant: &str, id: Uuid) -> Query {
    let mut query = Query::of_tenant(include_str!("select_payment.sql"), tenant);
    query.and_is("payment_id", id);
    query
}

pub(super) fn payment_row(row: &PgRow) -> sqlx::Result<PaymentRow> {
    Ok(PaymentRow {
        id: row.try_get("payment_id")?,
        order_id: row.try_get("order_id")?,
        customer_id: row.try_get("customer_id")?,
        status: row.try_get("status")?,
        amount: money(row, "amount")?,
        captured: money(row, "captured_amount")?,
        refunded: money(row, "refunded_amount")?,
        refunds: list::<Refund>(row, "refunds")?.into_iter().map(Refund::into_row).collect(),
        decline_reason: row.try_get("decline_reason")?,
        version: number(row, "payment_version")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

#[derive(Deserialize)]
struct Refund {
    id: Uuid,
    amount: i64,
    currency: Currency,
    reason: Option<String>,
    sealed_reason: Option<String>,
    settled: bool,
    failure: Option<String>,
}

impl Refund {
    fn into_row(self) -> RefundRow {
        let amount = Money::new(self.amount, self.currency);
        let reason = reason(self.reason, self.sealed_reason);
        RefundRow { id: self.id, amount, reason, settled: self.settled, failure: self.failure }
    }
}

pub(super) fn shipment(tenant: &str, id: Uuid) -> Query {
    let mut query = Query::of_tenant(include_str!("select_shipment.sql"), tenant);
    query.and_is("shipment_id", id);
    query
}

pub(super) fn shipment_row(row: &PgRow) -> sqlx::Result<ShipmentRow> {
    Ok(ShipmentRow {
        id: row.try_get("shipment_id")?,
        order_id: row.try_get("order_id")?,
        customer_id: row.try_get("customer_id")?,
        status: row.try_get("status")?,
        carrier_reference: row.try_get("carrier_reference")?,
        version: number(row, "shipment_version")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

pub(super) fn user(tenant: &str, id: Uuid) -> Query {
    let mut query = Query::of_tenant(include_str!("select_user.sql"), tenant);
    query.and_is("user_id", id);
    query
}

pub(super) fn user_row(row: &PgRow) -> sqlx::Result<UserRow> {
    Ok(UserRow {
        id: row.try_get("user_id")?,
        email: Sealed::from_text(row.try_get("email")?),
        name: Sealed::from_text(row.try_get("name")?),
        roles: json(row, "roles")?,
        version: number(row, "user_version")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
