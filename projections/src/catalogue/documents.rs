//! Search documents: products as the full-text index holds them. A document has one source stream, the product's, and its
//! version is the document's external version; a change sets some fields and the index keeps the others.

use async_trait::async_trait;
use domain::catalogue::product::ProductView;
use domain::event::RecordedEvent;
use domain::upcast::DecodeError;

use crate::catalogue::products::{self, ProductFilter, ProductSort, shown};
use crate::engine::index::{AskedBy, Form, SearchIndex};
use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, tenant, text};
use crate::engine::model::Projection;
use crate::engine::query::{Listed, Page};
use crate::engine::read_models::ReadError;
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value, col};
use crate::engine::words::indexed;

/// One document per product. Discontinued ones stay, as tombstones that no search finds.
pub static SEARCH_PRODUCTS: Table = Table {
    name: "search_products",
    about: "One document per product; discontinued ones stay.",
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
            col("name_words", ColumnKind::Text, "Words of the name as a search compares them"),
            col("sku_words", ColumnKind::Text, "Words of the article number"),
            col("description_words", ColumnKind::Text, "Words of the description"),
            col("category_words", ColumnKind::Text, "Words of the category"),
            col("attribute_words", ColumnKind::Text, "Words of the attributes' values"),
        ],
    }],
    indexes: &[],
};

/// Products as customers find them.
pub static INDEX: SearchIndex = SearchIndex {
    name: "products",
    document: "product",
    projection: NAME,
    table: &SEARCH_PRODUCTS,
    asked_by: AskedBy::Queries,
    only_grows: false,
    forms: &[
        ("description", Form::Shown),
        ("name_words", Form::Words(4.0)),
        ("sku_words", Form::Words(3.0)),
        ("category_words", Form::Words(2.0)),
        ("attribute_words", Form::Words(1.5)),
        ("description_words", Form::Words(1.0)),
    ],
    gone: Some("discontinued"),
    filters: &["category_key", "currency", "price_amount"],
    orders: &["currency", "price_amount", "sort_name", "created_at", "product_id"],
    facets: &["category"],
};

/// The name of the projection.
pub const NAME: &str = "search";

/// The projection `search`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search;

impl Projection for Search {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&SEARCH_PRODUCTS] }
    }

    fn index(&self) -> Option<&'static SearchIndex> {
        Some(&INDEX)
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != "product" {
            return Ok(vec![]);
        }
        let mut set = products::columns(event)?;
        let mut folded = Vec::new();
        for (name, value) in &set {
            match (*name, value) {
                ("name", Value::Text(v)) => folded.push(("name_words", joined(v))),
                ("sku", Value::Text(v)) => folded.push(("sku_words", joined(v))),
                ("description", Value::Text(v)) => folded.push(("description_words", joined(v))),
                ("category", Value::Text(v)) => folded.push(("category_words", joined(v))),
                ("attributes", Value::Json(v)) => {
                    folded.push(("attribute_words", attribute_words(event, v)?))
                }
                _ => {}
            }
        }
        set.extend(folded);
        Ok(vec![RowChange {
            table: &SEARCH_PRODUCTS,
            key: vec![tenant(event), Value::Uuid(event.stream_uuid()?)],
            group: "product",
            version: event.version,
            set,
        }])
    }
}

fn joined(value: &str) -> Value {
    text(indexed([value]))
}

/// The values of the attributes; their names are not what a customer types.
fn attribute_words(event: &RecordedEvent, attributes: &str) -> Result<Value, DecodeError> {
    let attributes: std::collections::BTreeMap<String, String> =
        serde_json::from_str(attributes).map_err(|e| DecodeError::shape(&event.event_type, &e))?;
    Ok(text(indexed(attributes.values().map(String::as_str))))
}

/// A search's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHits {
    /// The page.
    pub page: Listed<ProductView>,
    /// How many products match.
    pub total: u64,
    /// (category, how many of the matches), most first, then by name.
    pub categories: Vec<(String, u64)>,
}

/// The one question that a search index answers.
#[async_trait]
pub trait ProductSearch: Send + Sync + 'static {
    /// Products that match a text, with typing errors tolerated; all products for an empty one. The pages of one search are of one
    /// view of the index: what changes meanwhile neither doubles nor loses a row. A view that isn't kept any more is
    /// [`ReadError::Expired`] for a list by relevance; other orders go on behind the last row.
    ///
    /// # Errors
    /// [`ReadError::BadCursor`], [`ReadError::Expired`], [`ReadError::Overloaded`], [`ReadError::Unavailable`].
    async fn search(
        &self,
        tenant: &str,
        text: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<SearchHits, ReadError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{event, set, text as t, usd};
    use domain::catalogue::product::{ProductCreated, ProductDetails, ProductEvent, ProductPriceChanged};

    #[test]
    fn words_are_folded_by_the_projector() {
        // proves: CAT-2
        let details = ProductDetails {
            sku: "KB-7".into(),
            name: "Crème  Brûlée".into(),
            description: "Süß & gut.".into(),
            category: "Küche".into(),
            attributes: [("Farbe".to_owned(), "Grün/Weiß".to_owned())].into(),
        };
        let created = ProductEvent::Created(ProductCreated { details, price: usd(5) });
        let rows = Search.map(&event("product", 1, &created)).unwrap();
        for (column, words) in [
            ("name_words", "creme brulee"),
            ("sku_words", "kb 7"),
            ("description_words", "suss gut"),
            ("category_words", "kuche"),
            ("category_key", "küche"),
            ("attribute_words", "grun weiss"),
        ] {
            assert_eq!(set(&rows[0], column), Some(&t(words)), "{column}");
        }
        assert_eq!(set(&rows[0], "category"), Some(&t("Küche")));
        let details = ProductDetails {
            sku: "JP".into(),
            name: "常滑焼急須".into(),
            description: String::new(),
            category: String::new(),
            attributes: [("色".to_owned(), "青".to_owned()), ("形".to_owned(), "丸い".to_owned())].into(),
        };
        let created = ProductEvent::Created(ProductCreated { details, price: usd(5) });
        let rows = Search.map(&event("product", 1, &created)).unwrap();
        for (column, words) in [
            ("name_words", "常滑 滑焼 焼急 急須 須 常 急 滑 焼 須"),
            ("attribute_words", "丸い い 青 い 丸 青"),
        ] {
            assert_eq!(set(&rows[0], column), Some(&t(words)), "{column}");
        }
        let changed = ProductEvent::PriceChanged(ProductPriceChanged { old_price: usd(5), price: usd(6) });
        let rows = Search.map(&event("product", 2, &changed)).unwrap();
        assert_eq!((set(&rows[0], "name_words"), rows[0].version), (None, 2));
    }
}
