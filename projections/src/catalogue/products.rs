//! Products, by id and as a list.

use domain::catalogue::product::{ProductDetails, ProductEvent};
use domain::event::RecordedEvent;
use domain::money::Money;
use domain::text::identifier::normal;
use domain::upcast::DecodeError;

use crate::engine::fold::fold;
use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, col, json, tenant, text};
use crate::engine::model::Projection;
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value};

/// One row per product; discontinued ones stay.
pub static PRODUCTS: Table = Table {
    name: "products",
    key: &[TENANT, col("product_id", ColumnKind::Uuid)],
    groups: &[Group {
        name: "product",
        columns: &[
            col("sku", ColumnKind::Text),
            col("name", ColumnKind::Text),
            // The name, folded: what lists are sorted by.
            col("sort_name", ColumnKind::Text),
            col("description", ColumnKind::Text),
            col("category", ColumnKind::Text),
            // Its normal form: what filters compare.
            col("category_key", ColumnKind::Text),
            col("attributes", ColumnKind::Json),
            col("price_amount", ColumnKind::Int),
            col("currency", ColumnKind::Text),
            col("discontinued", ColumnKind::Bool),
            CREATED_AT,
            UPDATED_AT,
        ],
    }],
};

/// The projection `products`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Products;

impl Projection for Products {
    fn name(&self) -> &'static str {
        "products"
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&PRODUCTS] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != "product" {
            return Ok(vec![]);
        }
        Ok(vec![RowChange {
            table: &PRODUCTS,
            key: vec![tenant(event), Value::Uuid(event.stream_uuid()?)],
            group: "product",
            version: event.version,
            set: columns(event)?,
        }])
    }
}

/// The columns that a product's event sets, here and in the search document.
pub(crate) fn columns(event: &RecordedEvent) -> Result<Vec<(&'static str, Value)>, DecodeError> {
    let mut set = match event.typed::<ProductEvent>()? {
        ProductEvent::Created(created) => {
            let mut set = details(event, created.details)?;
            set.extend(price(created.price));
            set.push(("discontinued", Value::Bool(false)));
            set.push(("created_at", Value::Time(event.time)));
            set
        }
        ProductEvent::Updated(updated) => details(event, updated.details)?,
        ProductEvent::PriceChanged(changed) => price(changed.price).into(),
        ProductEvent::Discontinued(_) => vec![("discontinued", Value::Bool(true))],
    };
    set.push(("updated_at", Value::Time(event.time)));
    Ok(set)
}

fn details(
    event: &RecordedEvent,
    details: ProductDetails,
) -> Result<Vec<(&'static str, Value)>, DecodeError> {
    Ok(vec![
        ("sku", text(details.sku)),
        ("sort_name", text(fold(&details.name))),
        ("name", text(details.name)),
        ("description", text(details.description)),
        ("category_key", text(key(&details.category))),
        ("category", text(details.category)),
        ("attributes", json(event, &details.attributes)?),
    ])
}

/// The normal form of an identifier; what an older program stored without one stands for itself.
fn key(identifier: &str) -> String {
    normal(identifier).unwrap_or_else(|_| identifier.to_owned())
}

fn price(price: Money) -> [(&'static str, Value); 2] {
    [("price_amount", Value::Int(price.amount)), ("currency", text(price.currency.code()))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{event, now, set, stored, text as t, usd};
    use domain::catalogue::product::{ProductDiscontinued, ProductPriceChanged};

    #[test]
    fn an_old_product_is_read_as_today() {
        let data = r#"{"details":{"sku":"S","name":"Äpfel","description":"d","category":" Obst\u00a0&  GEMÜSE "},"price_cents":250,"currency":"EUR"}"#;
        let rows = Products.map(&stored("product", 1, "product.created", 1, data)).unwrap();
        assert_eq!(set(&rows[0], "price_amount"), Some(&Value::Int(250)));
        assert_eq!(set(&rows[0], "currency"), Some(&t("EUR")));
        assert_eq!(set(&rows[0], "sort_name"), Some(&t("apfel")));
        assert_eq!(set(&rows[0], "category_key"), Some(&t("obst & gemüse")));
        assert_eq!(set(&rows[0], "attributes"), Some(&Value::Json("{}".into())));
        assert_eq!(set(&rows[0], "created_at"), Some(&Value::Time(now())));
    }

    #[test]
    fn a_change_sets_only_what_changed() {
        let changed = ProductEvent::PriceChanged(ProductPriceChanged { old_price: usd(1), price: usd(2) });
        let rows = Products.map(&event("product", 2, &changed)).unwrap();
        let names: Vec<_> = rows[0].set.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["price_amount", "currency", "updated_at"]);
        let gone = ProductEvent::Discontinued(ProductDiscontinued {});
        let rows = Products.map(&event("product", 3, &gone)).unwrap();
        assert_eq!(set(&rows[0], "discontinued"), Some(&Value::Bool(true)));
        assert_eq!(rows[0].version, 3);
    }
}
