//! Stock, payments, shipments and users, by id.

use domain::money::{Currency, Money};
use domain::personal::Sealed;
use projections::read_models::{PaymentRow, RefundRow, ShipmentRow, StockRow, UserRow};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::sql::Query;
use crate::refund_reason::reason;
use crate::sqlite::read_store::columns::{json, parsed, time, uuid};

pub(super) fn stock(conn: &Connection, tenant: &str, products: &[Uuid]) -> rusqlite::Result<Vec<StockRow>> {
    if products.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = Query::of_tenant(include_str!("select_stock.sql"), tenant);
    query.and_in("product_id", products);
    query.ordered("product_id, warehouse", usize::try_from(i64::MAX).unwrap_or(usize::MAX));
    query.rows(conn, |row| {
        Ok(StockRow {
            product_id: uuid(row, 0)?,
            warehouse: row.get(1)?,
            on_hand: row.get(2)?,
            reserved: row.get(3)?,
        })
    })
}

pub(super) fn payment(conn: &Connection, tenant: &str, id: Uuid) -> rusqlite::Result<Option<PaymentRow>> {
    let mut statement = conn.prepare_cached(include_str!("select_payment.sql"))?;
    let found = statement.query_row((tenant, id.as_bytes()), |row| {
        let currency: Currency = parsed(row, 6)?;
        Ok(PaymentRow {
            id,
            order_id: uuid(row, 0)?,
            customer_id: uuid(row, 1)?,
            status: row.get(2)?,
            amount: Money::new(row.get(3)?, currency),
            captured: Money::new(row.get(4)?, currency),
            refunded: Money::new(row.get(5)?, currency),
            refunds: Vec::new(),
            decline_reason: row.get(7)?,
            version: row.get(8)?,
            created_at: time(row, 9)?,
            updated_at: time(row, 10)?,
        })
    });
    let Some(mut payment) = found.optional()? else { return Ok(None) };
    payment.refunds = refunds(conn, tenant, id)?;
    Ok(Some(payment))
}

fn refunds(conn: &Connection, tenant: &str, payment: Uuid) -> rusqlite::Result<Vec<RefundRow>> {
    let mut statement = conn.prepare_cached(include_str!("select_refunds.sql"))?;
    let rows = statement.query_map((tenant, payment.as_bytes()), |row| {
        Ok(RefundRow {
            id: uuid(row, 0)?,
            amount: Money::new(row.get(1)?, parsed(row, 2)?),
            reason: reason(row.get(3)?, row.get(4)?),
            settled: row.get(5)?,
            failure: row.get(6)?,
        })
    })?;
    rows.collect()
}

pub(super) fn shipment(conn: &Connection, tenant: &str, id: Uuid) -> rusqlite::Result<Option<ShipmentRow>> {
    let mut statement = conn.prepare_cached(include_str!("select_shipment.sql"))?;
    let found = statement.query_row((tenant, id.as_bytes()), |row| {
        Ok(ShipmentRow {
            id,
            order_id: uuid(row, 0)?,
            customer_id: uuid(row, 1)?,
            status: row.get(2)?,
            carrier_reference: row.get(3)?,
            version: row.get(4)?,
            created_at: time(row, 5)?,
            updated_at: time(row, 6)?,
        })
    });
    found.optional()
}

pub(super) fn user(conn: &Connection, tenant: &str, id: Uuid) -> rusqlite::Result<Option<UserRow>> {
    let mut statement = conn.prepare_cached(include_str!("select_user.sql"))?;
    let found = statement.query_row((tenant, id.as_bytes()), |row| {
        Ok(UserRow {
            id,
            email: Sealed::from_text(row.get(0)?),
            name: Sealed::from_text(row.get(1)?),
            roles: json(row, 2)?,
            version: row.get(3)?,
            created_at: time(row, 4)?,
            updated_at: time(row, 5)?,
        })
    });
    found.optional()
}
