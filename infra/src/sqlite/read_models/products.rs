//! Products, by id and as a list.

use domain::money::Money;
use projections::engine::rows::Value;
use projections::read_models::{Listed, Page, ProductFilter, ProductRow, ProductSort, ReadError};
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::sql::Query;
use crate::keyset::{Keyset, SortValue};
use crate::price_order;
use crate::product_list::{self, order_name};
use crate::sqlite::read_store::columns::{json, parsed, time, uuid};

pub(super) fn product(conn: &Connection, tenant: &str, id: Uuid) -> rusqlite::Result<Option<ProductRow>> {
    let mut query = Query::of_tenant(include_str!("select_product.sql"), tenant);
    query.and("product_id = ?", [Value::Uuid(id)]);
    Ok(query.rows(conn, row)?.pop())
}

fn row(row: &Row<'_>) -> rusqlite::Result<ProductRow> {
    Ok(ProductRow {
        id: uuid(row, 0)?,
        sku: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        category: row.get(4)?,
        attributes: json(row, 5)?,
        price: Money::new(row.get(6)?, parsed(row, 7)?),
        discontinued: row.get(8)?,
        version: row.get(9)?,
        created_at: time(row, 10)?,
        updated_at: time(row, 11)?,
    })
}

pub(super) struct List {
    query: Query,
    sort: ProductSort,
    limit: usize,
}

pub(super) fn query(
    tenant: &str,
    filter: &ProductFilter,
    sort: ProductSort,
    page: &Page,
) -> Result<List, ReadError> {
    let mut query = Query::of_tenant(include_str!("select_product.sql"), tenant);
    query.and("discontinued = 0", []);
    query.and_some("category_key = ?", filter.category.clone().map(Value::Text));
    query.and_some("price_amount >= ?", filter.min_price.map(Value::Int));
    query.and_some("price_amount <= ?", filter.max_price.map(Value::Int));
    query.and_some("currency = ?", filter.currency.map(|c| Value::Text(c.code().to_owned())));
    if let Some(after) = Keyset::after(page.after.as_deref(), order_name(sort))? {
        let (created, id) = (Value::Int(after.created), Value::Uuid(after.id));
        match (sort, after.value) {
            (ProductSort::Created | ProductSort::Relevance, SortValue::None) => {
                query.and("(created_at, product_id) > (?, ?)", [created, id]);
            }
            (ProductSort::PriceAsc, SortValue::Number(place)) => {
                let (currency, amount) = price_at(place)?;
                query.and(
                    "(currency, price_amount, created_at, product_id) > (?, ?, ?, ?)",
                    [currency, amount, created, id],
                );
            }
            (ProductSort::PriceDesc, SortValue::Number(place)) => {
                let (currency, amount) = price_at(price_order::turned(place))?;
                query.and(
                    "(currency >= ? AND (currency > ? OR price_amount < ? \
                     OR (price_amount = ? AND (created_at, product_id) > (?, ?))))",
                    [currency.clone(), currency, amount.clone(), amount, created, id],
                );
            }
            (ProductSort::Name, SortValue::Text(name)) => {
                query
                    .and("(sort_name, created_at, product_id) > (?, ?, ?)", [Value::Text(name), created, id]);
            }
            _ => return Err(ReadError::BadCursor),
        }
    }
    let order = match sort {
        ProductSort::Created | ProductSort::Relevance => "created_at, product_id",
        ProductSort::PriceAsc => "currency, price_amount, created_at, product_id",
        ProductSort::PriceDesc => "currency, price_amount DESC, created_at, product_id",
        ProductSort::Name => "sort_name, created_at, product_id",
    };
    query.ordered(order, page.limit + 1);
    Ok(List { query, sort, limit: page.limit })
}

/// Currency and amount of a place in the order of prices.
fn price_at(place: i64) -> Result<(Value, Value), ReadError> {
    let price = price_order::price_at(place).ok_or(ReadError::BadCursor)?;
    Ok((Value::Text(price.currency.code().to_owned()), Value::Int(price.amount)))
}

pub(super) fn list(conn: &Connection, list: List) -> rusqlite::Result<Listed<ProductRow>> {
    let rows = list.query.rows(conn, |found| Ok((row(found)?, found.get::<_, String>(12)?)))?;
    Ok(product_list::page(rows, list.sort, list.limit))
}
