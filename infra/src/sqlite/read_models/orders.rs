//! Orders with their lines.

use std::collections::HashMap;

use domain::money::{Currency, Money};
use projections::engine::rows::Value;
use projections::ordering::orders::{implied_payment, implied_shipment};
use projections::read_models::{Listed, OrderFilter, OrderLineRow, OrderRow, Page, PartRow, ReadError};
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::sql::Query;
use crate::keyset::{Keyset, SortValue, cut};
use crate::sqlite::read_store::columns::{optional_uuid, parsed, time, uuid};

const ORDER: &str = "orders-created";

pub(super) fn order(conn: &Connection, tenant: &str, id: Uuid) -> rusqlite::Result<Option<OrderRow>> {
    let mut query = Query::of_tenant(include_str!("select_order.sql"), tenant);
    query.and("order_id = ?", [Value::Uuid(id)]);
    let mut orders = query.rows(conn, row)?;
    add_lines(conn, tenant, &mut orders)?;
    Ok(orders.pop())
}

pub(super) struct List {
    tenant: String,
    query: Query,
    limit: usize,
}

pub(super) fn query(tenant: &str, filter: &OrderFilter, page: &Page) -> Result<List, ReadError> {
    let mut query = Query::of_tenant(include_str!("select_order.sql"), tenant);
    query.and_some("customer_id = ?", filter.customer_id.map(Value::Uuid));
    query.and_some("status = ?", filter.status.clone().map(Value::Text));
    if let Some(after) = Keyset::after(page.after.as_deref(), ORDER)? {
        if after.value != SortValue::None {
            return Err(ReadError::BadCursor);
        }
        query.and("(created_at, order_id) > (?, ?)", [Value::Int(after.created), Value::Uuid(after.id)]);
    }
    query.ordered("created_at, order_id", page.limit + 1);
    Ok(List { tenant: tenant.to_owned(), query, limit: page.limit })
}

pub(super) fn list(conn: &Connection, list: List) -> rusqlite::Result<Listed<OrderRow>> {
    let mut items = list.query.rows(conn, row)?;
    let next = cut(&mut items, list.limit, ORDER, |o| Keyset::created(o.created_at, o.id));
    add_lines(conn, &list.tenant, &mut items)?;
    Ok(Listed { items, next })
}

fn row(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    let status: String = row.get(1)?;
    let part = |own: usize, named: usize| -> rusqlite::Result<Option<(Uuid, Option<String>)>> {
        let (own_id, own_status) = (optional_uuid(row, own)?, row.get::<_, Option<String>>(own + 1)?);
        let named = optional_uuid(row, named)?;
        Ok(match (own_id, named) {
            // The order's own word counts, should its part ever be another one.
            (Some(own), Some(named)) if own != named => Some((named, None)),
            (Some(own), _) => Some((own, own_status)),
            (None, Some(named)) => Some((named, None)),
            (None, None) => None,
        })
    };
    let payment = part(5, 9)?
        .map(|(id, own)| PartRow { id, status: implied_payment(&status, own.as_deref()).to_owned() });
    let shipment = part(7, 10)?
        .map(|(id, own)| PartRow { id, status: implied_shipment(&status, own.as_deref()).to_owned() });
    Ok(OrderRow {
        id: uuid(row, 0)?,
        reason: row.get(2)?,
        items: Vec::new(),
        total: Money::new(row.get(3)?, parsed(row, 4)?),
        payment,
        shipment,
        customer_id: uuid(row, 11)?,
        payment_method: row.get(12)?,
        version: row.get(13)?,
        created_at: time(row, 14)?,
        updated_at: time(row, 15)?,
        payment_version: row.get(16)?,
        shipment_version: row.get(17)?,
        status,
    })
}

/// The lines of all orders with one question.
fn add_lines(conn: &Connection, tenant: &str, orders: &mut [OrderRow]) -> rusqlite::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut query = Query::of_tenant(include_str!("select_lines.sql"), tenant);
    query.and_in("order_id", &ids);
    query.ordered("order_id, line", usize::from(u16::MAX));
    let mut lines: HashMap<Uuid, Vec<OrderLineRow>> = HashMap::new();
    for (order, line) in query.rows(conn, |row| Ok((uuid(row, 0)?, line(row)?)))? {
        lines.entry(order).or_default().push(line);
    }
    for order in orders {
        order.items = lines.remove(&order.id).unwrap_or_default();
    }
    Ok(())
}

fn line(row: &Row<'_>) -> rusqlite::Result<OrderLineRow> {
    let currency: Currency = parsed(row, 8)?;
    Ok(OrderLineRow {
        line: row.get(1)?,
        product_id: uuid(row, 2)?,
        sku: row.get(3)?,
        name: row.get(4)?,
        quantity: row.get(5)?,
        unit_price: Money::new(row.get(6)?, currency),
        line_total: Money::new(row.get(7)?, currency),
    })
}
