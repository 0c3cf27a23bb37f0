//! Products, by id and as a list.

use domain::catalogue::product::{ProductDetails, ProductEvent, ProductView};
use domain::event::RecordedEvent;
use domain::money::{Currency, Money};
use domain::text::identifier::normal;
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::fold::fold;
use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, json, tenant, text};
use crate::engine::model::Projection;
use crate::engine::query::Direction::{Ascending, Descending};
use crate::engine::query::{Condition, Direction, Listed, Page, Row, Select, Unreadable, View, first, list};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};

/// What a product shows, in its row and in the search's document.
pub(super) mod shown {
    use crate::engine::rows::{Column, ColumnKind, col};

    pub(in crate::catalogue) const SKU: Column =
        col("sku", ColumnKind::Text, "The merchant's own article number");
    pub(in crate::catalogue) const NAME: Column =
        col("name", ColumnKind::Text, "The name shown to customers");
    pub(in crate::catalogue) const SORT_NAME: Column = col(
        "sort_name",
        ColumnKind::Text,
        "The name as search compares it, in lower case and without accents: what lists are sorted by",
    );
    pub(in crate::catalogue) const DESCRIPTION: Column = col("description", ColumnKind::Text, "Free text");
    pub(in crate::catalogue) const CATEGORY: Column =
        col("category", ColumnKind::Text, "The category that search facets count, as it was typed");
    pub(in crate::catalogue) const CATEGORY_KEY: Column = col(
        "category_key",
        ColumnKind::Text,
        "The category in the normal form of identifiers: what filters compare, and what to group by",
    );
    pub(in crate::catalogue) const ATTRIBUTES: Column =
        col("attributes", ColumnKind::Json, "Further properties by name: an object of texts");
    pub(in crate::catalogue) const PRICE_AMOUNT: Column =
        col("price_amount", ColumnKind::Int, "Price of one, in minor units (cents) of the currency");
    pub(in crate::catalogue) const CURRENCY: Column = col("currency", ColumnKind::Text, "ISO 4217 code");
    pub(in crate::catalogue) const DISCONTINUED: Column =
        col("discontinued", ColumnKind::Bool, "It can't be ordered any more");
}

/// One row per product; discontinued ones stay.
pub static PRODUCTS: Table = Table {
    name: "products",
    about: "One row per product.",
    key: &[TENANT, col("product_id", ColumnKind::Uuid, "The product")],
    groups: &[Group {
        name: "product",
        source: "product",
        columns: &[
            shown::SKU,
            shown::NAME,
            shown::SORT_NAME,
            shown::DESCRIPTION,
            shown::CATEGORY,
            shown::CATEGORY_KEY,
            shown::ATTRIBUTES,
            shown::PRICE_AMOUNT,
            shown::CURRENCY,
            shown::DISCONTINUED,
            CREATED_AT,
            UPDATED_AT,
        ],
    }],
    indexes: &[
        Index {
            name: "products_by_created",
            on: &["tenant", "discontinued", "created_at", "product_id"],
            only: None,
        },
        Index {
            name: "products_by_category",
            on: &["tenant", "discontinued", "category_key", "created_at", "product_id"],
            only: None,
        },
        Index {
            name: "products_by_price",
            on: &["tenant", "discontinued", "currency", "price_amount", "created_at", "product_id"],
            only: None,
        },
        Index {
            name: "products_by_price_descending",
            on: &["tenant", "discontinued", "currency", "price_amount DESC", "created_at", "product_id"],
            only: None,
        },
        Index {
            name: "products_by_name",
            on: &["tenant", "discontinued", "sort_name", "created_at", "product_id"],
            only: None,
        },
    ],
};

/// The name of the projection.
pub const NAME: &str = "products";

/// The projection `products`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Products;

impl Projection for Products {
    fn name(&self) -> &'static str {
        NAME
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

impl View for ProductView {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &PRODUCTS;

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self {
            id: row.uuid("product_id")?,
            sku: row.text("sku")?.to_owned(),
            name: row.text("name")?.to_owned(),
            description: row.text("description")?.to_owned(),
            category: row.text("category")?.to_owned(),
            attributes: row.json("attributes")?,
            price: row.money("price_amount")?,
            discontinued: row.is("discontinued")?,
            version: row.version("product")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

/// The order of a product list; ties by id, ascending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProductSort {
    /// Created first, first.
    #[default]
    Created,
    /// By currency, in order of its code: amounts of two can't be compared. Within each, cheapest first.
    PriceAsc,
    /// By currency, in order of its code; within each, dearest first.
    PriceDesc,
    /// By name.
    Name,
    /// Best match first (search only; elsewhere as `Created`).
    Relevance,
}

impl ProductSort {
    /// What a cursor of this order is bound to. There is no best match in a list: it is as by creation.
    #[must_use]
    pub fn list(self) -> &'static str {
        match self {
            Self::Created | Self::Relevance => "products-created",
            Self::PriceAsc => "products-currency-price",
            Self::PriceDesc => "products-currency-price-desc",
            Self::Name => "products-name",
        }
    }

    /// The columns that it sorts by.
    pub(super) fn order(self) -> Vec<(&'static str, Direction)> {
        let first: &[_] = match self {
            Self::Created | Self::Relevance => &[],
            Self::PriceAsc => &[("currency", Ascending), ("price_amount", Ascending)],
            Self::PriceDesc => &[("currency", Ascending), ("price_amount", Descending)],
            Self::Name => &[("sort_name", Ascending)],
        };
        first.iter().copied().chain([("created_at", Ascending), ("product_id", Ascending)]).collect()
    }
}

/// Which products. An amount says nothing without its currency: whoever bounds the price names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFilter {
    /// This category, in its normal form.
    pub category: Option<String>,
    /// At least this price, minor units.
    pub min_price: Option<i64>,
    /// At most this price, minor units.
    pub max_price: Option<i64>,
    /// Only prices of this currency.
    pub currency: Option<Currency>,
}

impl ProductFilter {
    /// The products of a tenant that it lets through, in an order.
    #[must_use]
    pub fn select(&self, tenant: &str, sort: ProductSort) -> Select {
        let mut select =
            Select::of::<ProductView>(tenant).and(Condition::Is("discontinued", Value::Bool(false)));
        select.conditions.extend(self.conditions());
        Select { order: sort.order(), ..select }
    }

    /// What it asks of products.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let category = self.category.clone().map(|key| Condition::Is("category_key", Value::Text(key)));
        let currency = self.currency.map(|currency| Condition::Is("currency", text(currency.code())));
        let least = self.min_price.map(|price| Condition::AtLeast("price_amount", Value::Int(price)));
        let most = self.max_price.map(|price| Condition::AtMost("price_amount", Value::Int(price)));
        [category, currency, least, most].into_iter().flatten().collect()
    }
}

/// Questions about products.
pub trait ReadProducts: ReadModels {
    /// A product.
    ///
    /// # Errors
    /// [`ReadError`].
    fn product(
        &self,
        tenant: &str,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<ProductView>, ReadError>> + Send {
        async move {
            first(self, Select::of::<ProductView>(tenant).and(Condition::Is("product_id", Value::Uuid(id))))
                .await
        }
    }

    /// Products that are not discontinued.
    ///
    /// # Errors
    /// [`ReadError`].
    fn products(
        &self,
        tenant: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> impl Future<Output = Result<Listed<ProductView>, ReadError>> + Send {
        async move { list(self, sort.list(), filter.select(tenant, sort), page).await }
    }
}

impl<R: ReadModels + ?Sized> ReadProducts for R {}

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
