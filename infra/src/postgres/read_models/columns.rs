//! Values of columns on their way out of PostgreSQL.

use std::str::FromStr;

use domain::money::Money;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

fn unfit<E: Into<Box<dyn std::error::Error + Send + Sync>>>(column: &str) -> impl FnOnce(E) -> sqlx::Error {
    move |source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}

/// An integer of a narrower or unsigned type.
pub(super) fn number<T: TryFrom<i64>>(row: &PgRow, column: &str) -> sqlx::Result<T>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(row.try_get(column)?).map_err(unfit(column))
}

/// Text that has a typed form.
pub(super) fn parsed<T: FromStr>(row: &PgRow, column: &str) -> sqlx::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.try_get::<&str, _>(column)?.parse().map_err(unfit(column))
}

/// JSON text of a known shape.
pub(super) fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> sqlx::Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(unfit(column))
}

/// JSON text of a list that is null when there is nothing in it.
pub(super) fn list<T: DeserializeOwned>(row: &PgRow, column: &str) -> sqlx::Result<Vec<T>> {
    match row.try_get::<Option<&str>, _>(column)? {
        Some(text) => serde_json::from_str(text).map_err(unfit(column)),
        None => Ok(Vec::new()),
    }
}

/// An amount in the row's currency.
pub(super) fn money(row: &PgRow, column: &str) -> sqlx::Result<Money> {
    Ok(Money::new(row.try_get(column)?, parsed(row, "currency")?))
}
