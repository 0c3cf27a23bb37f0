//! Orders with their lines, in one statement.

use domain::money::{Currency, Money};
use projections::ordering::orders::{implied_payment, implied_shipment};
use projections::read_models::{Listed, OrderFilter, OrderLineRow, OrderRow, Page, PartRow, ReadError};
use serde::Deserialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::{list, money, number};
use super::sql::Query;
use crate::keyset::{Keyset, SortValue, cut};

const ORDER: &str = "orders-created";

pub(super) fn one(tenant: &str, id: Uuid) -> Query {
    let mut query = Query::of_tenant(include_str!("select_order.sql"), tenant);
    query.and_is("order_id", id);
    query
}

pub(super) fn query(tenant: &str, filter: &OrderFilter, page: &Page) -> Result<Query, ReadError> {
    let mut query = Query::of_tenant(include_str!("select_order.sql"), tenant);
    if let Some(customer) = filter.customer_id {
        query.and_is("customer_id", customer);
    }
    if let Some(status) = &filter.status {
        query.and_text("status", status);
    }
    if let Some(after) = Keyset::after(page.after.as_deref(), ORDER)? {
        if after.value != SortValue::None {
            return Err(ReadError::BadCursor);
        }
        let created = query.value(after.created_at()?);
        let id = query.value(after.id);
        query.and(&format!("(created_at, order_id) > ({created}, {id})"));
    }
    query.ordered("created_at, order_id", page.limit + 1);
    Ok(query)
}

/// The page of one row more than it may have.
pub(super) fn page(mut items: Vec<OrderRow>, limit: usize) -> Listed<OrderRow> {
    let next = cut(&mut items, limit, ORDER, |o| Keyset::created(o.created_at, o.id));
    Listed { items, next }
}

pub(super) fn row(row: &PgRow) -> sqlx::Result<OrderRow> {
    let status: String = row.try_get("status")?;
    let part = |own: &str, own_status: &str, named: &str| -> sqlx::Result<Option<(Uuid, Option<String>)>> {
        let (own, own_status) = (row.try_get::<Option<Uuid>, _>(own)?, row.try_get(own_status)?);
        Ok(match (own, row.try_get::<Option<Uuid>, _>(named)?) {
            // The order's own word counts, should its part ever be another one.
            (Some(own), Some(named)) if own != named => Some((named, None)),
            (Some(own), _) => Some((own, own_status)),
            (None, Some(named)) => Some((named, None)),
            (None, None) => None,
        })
    };
    let payment = part("payment_id", "payment_status", "paid_payment_id")?
        .map(|(id, own)| PartRow { id, status: implied_payment(&status, own.as_deref()).to_owned() });
    let shipment = part("shipment_id", "shipment_status", "paid_shipment_id")?
        .map(|(id, own)| PartRow { id, status: implied_shipment(&status, own.as_deref()).to_owned() });
    Ok(OrderRow {
        id: row.try_get("order_id")?,
        reason: row.try_get("reason")?,
        items: list::<Line>(row, "lines")?.into_iter().map(Line::into_row).collect(),
        total: money(row, "total_amount")?,
        payment,
        shipment,
        customer_id: row.try_get("customer_id")?,
        payment_method: row.try_get("payment_method")?,
        version: number(row, "order_version")?,
        payment_version: number(row, "payment_version")?,
        shipment_version: number(row, "shipment_version")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        status,
    })
}

#[derive(Deserialize)]
struct Line {
    line: u32,
    product_id: Uuid,
    sku: String,
    name: String,
    quantity: u32,
    unit_price: i64,
    line_total: i64,
    currency: Currency,
}

impl Line {
    fn into_row(self) -> OrderLineRow {
        OrderLineRow {
            line: self.line,
            product_id: self.product_id,
            sku: self.sku,
            name: self.name,
            quantity: self.quantity,
            unit_price: Money::new(self.unit_price, self.currency),
            line_total: Money::new(self.line_total, self.currency),
        }
    }
}
