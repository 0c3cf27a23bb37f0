//! Search documents: products as the full-text index holds them. A document has one source stream, the product's, and its
//! version is the document's external version; a change sets some fields and the index keeps the others.

use domain::catalogue::product::ProductView;
use domain::event::RecordedEvent;
use domain::upcast::DecodeError;

use crate::catalogue::products::{self, ProductFilter, ProductSort, shown};
use crate::engine::index::{AskedBy, Form, SearchIndex};
use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, tenant, text};
use crate::engine::model::Projection;
use crate::engine::query::{Listed, Page, View as _};
use crate::engine::read_models::ReadError;
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value, col};
use crate::engine::search::{self, TextSearch};
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

impl ProductFilter {
    /// The products of a tenant that it lets through and that match a text, in an order: the question to the index.
    #[must_use]
    pub fn search(&self, tenant: &str, text: &str, sort: ProductSort, page: &Page) -> search::Search {
        // Without words nothing matches better than anything else.
        let no_words = text.trim().is_empty();
        let sort = if sort == ProductSort::Relevance && no_words { ProductSort::Created } else { sort };
        search::Search {
            index: &INDEX,
            tenant: tenant.to_owned(),
            text: text.to_owned(),
            conditions: self.conditions(),
            best_first: sort == ProductSort::Relevance,
            order: sort.order(),
            facets: INDEX.facets,
            list: match sort {
                ProductSort::Created => "search-created",
                ProductSort::PriceAsc => "search-currency-price",
                ProductSort::PriceDesc => "search-currency-price-desc",
                ProductSort::Name => "search-name",
                ProductSort::Relevance => "search-relevance",
            },
            page: page.clone(),
        }
    }
}

/// Searches of products.
pub trait ProductSearch: TextSearch {
    /// Products that match a text, with typing errors tolerated; all products for an empty one.
    ///
    /// # Errors
    /// See [`TextSearch::search`].
    fn search_products(
        &self,
        tenant: &str,
        text: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> impl Future<Output = Result<SearchHits, ReadError>> + Send {
        async move {
            let found = self.search(&filter.search(tenant, text, sort, page)).await?;
            let items = found.rows.iter().map(ProductView::of_row).collect::<Result<_, _>>()?;
            let page = Listed { items, next: found.next };
            let categories = found.facets.into_iter().next().unwrap_or_default();
            Ok(SearchHits { page, total: found.total, categories })
        }
    }
}

impl<S: TextSearch + ?Sized> ProductSearch for S {}

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
