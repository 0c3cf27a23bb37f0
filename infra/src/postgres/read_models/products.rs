//! Products, by id and as a list.

use projections::read_models::{Page, ProductFilter, ProductRow, ProductSort, ReadError};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::{json, money, number};
use super::sql::Query;
use crate::keyset::{Keyset, SortValue};
use crate::price_order;
use crate::product_list::order_name;

pub(super) fn one(tenant: &str, id: Uuid) -> Query {
    let mut query = Query::of_tenant(include_str!("select_product.sql"), tenant);
    query.and_is("product_id", id);
    query
}

pub(super) fn row(row: &PgRow) -> sqlx::Result<ProductRow> {
    Ok(ProductRow {
        id: row.try_get("product_id")?,
        sku: row.try_get("sku")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        category: row.try_get("category")?,
        attributes: json(row, "attributes")?,
        price: money(row, "price_amount")?,
        discontinued: row.try_get("discontinued")?,
        version: number(row, "product_version")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

/// A product and what it is sorted by as a name.
pub(super) fn sorted_row(found: &PgRow) -> sqlx::Result<(ProductRow, String)> {
    Ok((row(found)?, found.try_get("sort_name")?))
}

pub(super) fn query(
    tenant: &str,
    filter: &ProductFilter,
    sort: ProductSort,
    page: &Page,
) -> Result<Query, ReadError> {
    let mut query = Query::of_tenant(include_str!("select_product.sql"), tenant);
    // As a comparison, since the column leads the indexes.
    query.and("discontinued = false");
    if let Some(category) = &filter.category {
        query.and_text("category_key", category);
    }
    if let Some(price) = filter.min_price {
        let price = query.value(price);
        query.and(&format!("price_amount >= {price}"));
    }
    if let Some(price) = filter.max_price {
        let price = query.value(price);
        query.and(&format!("price_amount <= {price}"));
    }
    if let Some(currency) = filter.currency {
        query.and_text("currency", currency.code());
    }
    if let Some(after) = Keyset::after(page.after.as_deref(), order_name(sort))? {
        let (created, id) = (query.value(after.created_at()?), query.value(after.id));
        match (sort, after.value) {
            (ProductSort::Created | ProductSort::Relevance, SortValue::None) => {
                query.and(&format!("(created_at, product_id) > ({created}, {id})"));
            }
            (ProductSort::PriceAsc, SortValue::Number(place)) => {
                let price = price_order::price_at(place).ok_or(ReadError::BadCursor)?;
                let (currency, amount) = (query.text(price.currency.code()), query.value(price.amount));
                query.and(&format!(
                    "(currency, price_amount, created_at, product_id) > ({currency}, {amount}, {created}, {id})"
                ));
            }
            (ProductSort::PriceDesc, SortValue::Number(place)) => {
                let price = price_order::price_at(price_order::turned(place)).ok_or(ReadError::BadCursor)?;
                let (currency, amount) = (query.text(price.currency.code()), query.value(price.amount));
                query.and(&format!(
                    "(currency >= {currency} AND (currency > {currency} OR price_amount < {amount} \
                     OR (price_amount = {amount} AND (created_at, product_id) > ({created}, {id}))))"
                ));
            }
            (ProductSort::Name, SortValue::Text(name)) => {
                let name = query.text(&name);
                query.and(&format!(
                    "(sort_name COLLATE \"C\", created_at, product_id) > ({name}, {created}, {id})"
                ));
            }
            _ => return Err(ReadError::BadCursor),
        }
    }
    let order = match sort {
        ProductSort::Created | ProductSort::Relevance => "created_at, product_id",
        ProductSort::PriceAsc => "currency, price_amount, created_at, product_id",
        ProductSort::PriceDesc => "currency, price_amount DESC, created_at, product_id",
        ProductSort::Name => "sort_name COLLATE \"C\", created_at, product_id",
    };
    query.ordered(order, page.limit + 1);
    Ok(query)
}
