//! The shop window: products by id, as a list, and by full-text search. Anybody may look.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use command_api::reviews::shown::RatedProduct;
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::problem::Problem;
use domain::money::Currency;
use domain::reviews::rating;
use domain::stream::StreamId;
use domain::text::identifier;
use projections::catalogue::documents::{self, ProductSearch as _};
use projections::catalogue::products::{self, ProductFilter, ProductSort, ReadProducts as _};
use projections::engine::query::Page;
use projections::engine::search::TextSearch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::reviews::ratings;
use crate::web::ask::{Ask, not_parked};
use crate::web::cursor::Scope;
use crate::web::docs::{ConditionalParam, PageParams, SyncParam};
use crate::web::failed::Failed;
use crate::web::params::{Params, path_id};
use crate::web::reply::{ListOf, ok, tagged};
use crate::web::state::QueryState;

/// The orders of a list.
const SORTS: [(&str, ProductSort); 4] = [
    ("created", ProductSort::Created),
    ("price", ProductSort::PriceAsc),
    ("-price", ProductSort::PriceDesc),
    ("name", ProductSort::Name),
];
/// The orders of a search's answer.
const SEARCH_SORTS: [(&str, ProductSort); 5] = [
    ("relevance", ProductSort::Relevance),
    ("created", ProductSort::Created),
    ("price", ProductSort::PriceAsc),
    ("-price", ProductSort::PriceDesc),
    ("name", ProductSort::Name),
];

/// A product; also one that can't be ordered any more.
#[utoipa::path(
    get,
    path = "/api/v1/products/{id}",
    operation_id = "get_product",
    tag = "products",
    summary = "Get a product",
    params(("id" = Uuid, Path, description = "the product's id"), SyncParam, ConditionalParam),
    responses(
        (status = 200, description = "The product", body = RatedProduct, headers(("ETag" = String, description = "opaque; covers the product and its rating"))),
        (status = 304, description = "The client has the product as it is"),
        Usual, ById,
    ),
    security(())
)]
pub(crate) async fn get_product(
    State(state): State<QueryState>,
    caller: Option<Caller>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = path_id(&id, "product")?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let read = ask.settle(&state, &[products::NAME, ratings::READ]).await?;
    let tenant = Caller::tenant_of(caller.as_ref());
    not_parked(&state, products::NAME, &StreamId::new(tenant, "product", id)).await?;
    not_parked(&state, ratings::READ, &rating::stream(tenant, id)).await?;
    let product = read.product(tenant, id).await?;
    let product = product.ok_or_else(|| Problem::not_found("product"))?;
    let (product, tag) = ratings::rated(&*read, tenant, product).await?;
    tagged(&ask, &tag, &product)
}

/// Products that can be ordered.
#[utoipa::path(
    get,
    path = "/api/v1/products",
    operation_id = "list_products",
    tag = "products",
    summary = "List products",
    params(
        ("category" = Option<String>, Query, description = "this category, in any spelling of the identifier", max_length = 500),
        ("currency" = Option<Currency>, Query, description = "only prices of this currency"),
        ("min_price" = Option<i64>, Query, description = "at least this price, in minor units of `currency`; without one, of the only currency that the category's products (all products, without a category) are priced in: 400 `currency-required` when there are several", minimum = 0, maximum = 9007199254740991i64),
        ("max_price" = Option<i64>, Query, description = "at most this price; its currency as for `min_price`", minimum = 0, maximum = 9007199254740991i64),
        ("sort" = Option<String>, Query, description = "`created` (default), `price`, `-price` or `name`; prices by currency in order of its code, and within each by amount", pattern = "^(created|-?price|name)$"),
        PageParams,
        SyncParam,
    ),
    responses((status = 200, description = "A page of products", body = ListOf<RatedProduct>), Usual),
    security(())
)]
pub(crate) async fn list_products(
    State(state): State<QueryState>,
    caller: Option<Caller>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let known = ["category", "currency", "min_price", "max_price", "sort", "limit", "cursor"];
    let ask = Ask::read(&state, &headers, raw.as_deref(), &known)?;
    let mut filter = filter(&ask.params)?;
    let sort = ask.params.choice("sort", &SORTS)?.unwrap_or(ProductSort::Created);
    let tenant = Caller::tenant_of(caller.as_ref());
    let scope = Scope { operation: "list_products", tenant, caller: None, filters: ask.params.filters() };
    name_currency(&state, &ask, tenant, &mut filter).await?;
    let page = ask.page(&state, &scope)?;
    let read = ask.settle(&state, &[products::NAME, ratings::READ]).await?;
    let listed = read.products(tenant, &filter, sort, &page).await?;
    let items = ratings::all_rated(&*read, tenant, listed.items).await?;
    ok(&ListOf::new(&state, &scope, items, listed.next.as_deref()))
}

/// How many of the matches have a value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FacetCount {
    /// The value.
    value: String,
    /// How many of the matches have it.
    count: u64,
}

/// The counts by facet; each facet's counts add up to `total`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Facets {
    /// By category, most first.
    category: Vec<FacetCount>,
}

/// A search's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found<T> {
    /// This page of the matches.
    items: Vec<T>,
    /// How many products match.
    total: u64,
    /// Counts over all matches.
    facets: Facets,
    /// `cursor` of the next page; null at the end.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Products whose text matches, with typing errors tolerated; every word must match somewhere. All products for an empty `q`.
#[utoipa::path(
    get,
    path = "/api/v1/products/search",
    operation_id = "search_products",
    tag = "products",
    summary = "Search products",
    params(
        ("q" = Option<String>, Query, description = "words to look for", max_length = 500),
        ("category" = Option<String>, Query, description = "this category, in any spelling of the identifier", max_length = 500),
        ("currency" = Option<Currency>, Query, description = "only prices of this currency"),
        ("min_price" = Option<i64>, Query, description = "at least this price, in minor units of `currency`; without one, of the only currency that the category's products (all products, without a category) are priced in: 400 `currency-required` when there are several", minimum = 0, maximum = 9007199254740991i64),
        ("max_price" = Option<i64>, Query, description = "at most this price; its currency as for `min_price`", minimum = 0, maximum = 9007199254740991i64),
        ("sort" = Option<String>, Query, description = "`relevance` (default), `created`, `price`, `-price` or `name`; prices by currency in order of its code, and within each by amount", pattern = "^(relevance|created|-?price|name)$"),
        PageParams,
        SyncParam,
    ),
    responses(
        (status = 200, description = "A page of matches, and counts over all of them; the pages of one search are of one view of the index, and so are the counts", body = Found<RatedProduct>),
        (status = 410, description = "`cursor-expired`: the view that a list by relevance goes on with is not kept any more (it is for two minutes after a page, unless too many others are asked for); begin at the first page", body = Problem, content_type = "application/problem+json"),
        Usual,
    ),
    security(())
)]
pub(crate) async fn search_products(
    State(state): State<QueryState>,
    Extension(search): Extension<Arc<dyn TextSearch>>,
    caller: Option<Caller>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let known = ["q", "category", "currency", "min_price", "max_price", "sort", "limit", "cursor"];
    let ask = Ask::read(&state, &headers, raw.as_deref(), &known)?;
    let mut filter = filter(&ask.params)?;
    let sort = ask.params.choice("sort", &SEARCH_SORTS)?.unwrap_or(ProductSort::Relevance);
    let text = ask.params.text("q")?.unwrap_or_default();
    let tenant = Caller::tenant_of(caller.as_ref());
    let scope = Scope { operation: "search_products", tenant, caller: None, filters: ask.params.filters() };
    name_currency(&state, &ask, tenant, &mut filter).await?;
    let page = ask.page(&state, &scope)?;
    let read = ask.settle(&state, &[documents::NAME, ratings::READ]).await?;
    let hits = search.search_products(tenant, text, &filter, sort, &page).await?;
    let items = ratings::all_rated(&*read, tenant, hits.page.items).await?;
    let listed = ListOf::new(&state, &scope, items, hits.page.next.as_deref());
    let category = facet(hits.categories);
    ok(&Found {
        items: listed.items,
        total: hits.total,
        facets: Facets { category },
        next_cursor: listed.next_cursor,
    })
}

/// The counts by identifier: spellings of one are counted together, under the most frequent of them.
fn facet(counts: Vec<(String, u64)>) -> Vec<FacetCount> {
    let mut by_key: BTreeMap<String, FacetCount> = BTreeMap::new();
    // Most first, so the first spelling is the one to show.
    for (value, count) in counts {
        let key = identifier::normal(&value).unwrap_or_else(|_| value.clone());
        by_key.entry(key).or_insert(FacetCount { value, count: 0 }).count += count;
    }
    let mut counts: Vec<FacetCount> = by_key.into_values().collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    counts
}

/// The filter that list and search share.
fn filter(params: &Params) -> Result<ProductFilter, Problem> {
    let filter = ProductFilter {
        category: params.identifier("category")?,
        min_price: params.amount("min_price")?,
        max_price: params.amount("max_price")?,
        currency: params.choice("currency", &Currency::ALL.map(|currency| (currency.code(), currency)))?,
    };
    match (filter.min_price, filter.max_price) {
        (Some(min), Some(max)) if min > max => Err(Problem::bad_parameter("max_price", "below min_price")),
        _ => Ok(filter),
    }
}

/// An amount is compared with amounts of its own currency only. Where nobody names it, it is the only one there is.
async fn name_currency(
    state: &QueryState,
    ask: &Ask,
    tenant: &str,
    filter: &mut ProductFilter,
) -> Result<(), Failed> {
    if filter.currency.is_some() || (filter.min_price, filter.max_price) == (None, None) {
        return Ok(());
    }
    let read = ask.settle(state, &[products::NAME]).await?;
    let first = Page { after: None, limit: 1 };
    let mut found = Vec::new();
    for currency in Currency::ALL {
        // In the order that an index has by currency, so that it is answered at once.
        let priced = ProductFilter {
            category: filter.category.clone(),
            currency: Some(currency),
            ..ProductFilter::default()
        };
        let listed = read.products(tenant, &priced, ProductSort::PriceAsc, &first).await?;
        found.extend((!listed.items.is_empty()).then_some(currency));
    }
    filter.currency = Some(only_currency(&found)?);
    Ok(())
}

/// The only currency of prices; whichever, where there is no price at all.
fn only_currency(found: &[Currency]) -> Result<Currency, Problem> {
    match found {
        [] => return Ok(Currency::ALL[0]),
        [only] => return Ok(*only),
        _ => {}
    }
    let codes: Vec<_> = found.iter().map(|currency| currency.code()).collect();
    let detail = format!("the prices are in {}: say in which one the bounds are", codes.join(", "));
    Err(Problem {
        errors: Problem::bad_parameter("currency", detail.as_str()).errors,
        ..Problem::new(StatusCode::BAD_REQUEST, "currency-required", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: CAT-2
    #[test]
    fn spellings_of_a_category_are_counted_together() {
        let counts = [("Mugs", 3), ("Tea", 2), ("mugs ", 1), ("MU\u{200b}GS", 1), ("tea", 1)];
        let counted = facet(counts.map(|(value, count)| (value.to_owned(), count)).into());
        let counted: Vec<_> = counted.iter().map(|facet| (facet.value.as_str(), facet.count)).collect();
        assert_eq!(counted, [("Mugs", 5), ("Tea", 3)]);
    }

    fn filter_of(raw: &str) -> Result<ProductFilter, u16> {
        let params =
            Params::parse(Some(raw), &["category", "currency", "min_price", "max_price"], &[]).unwrap();
        filter(&params).map_err(|p| p.status)
    }

    // proves: CAT-1
    #[test]
    fn prices_bound_from_both_sides() {
        let both = filter_of("min_price=100&max_price=100&category=Tea+%26+coffee").unwrap();
        assert_eq!((both.min_price, both.max_price), (Some(100), Some(100)));
        assert_eq!(both.category.as_deref(), Some("tea & coffee"));
        for raw in ["category=%20Tea++%26%C2%A0COFFEE", "category=Tea+%26+%E2%80%8Bcoffee"] {
            assert_eq!(filter_of(raw).unwrap().category.as_deref(), Some("tea & coffee"), "{raw}");
        }
        for raw in ["category=", "category=+", "category=%E2%80%8B", "category=a%07"] {
            assert_eq!(filter_of(raw), Err(400), "{raw}");
        }
        assert_eq!(filter_of("min_price=101&max_price=100"), Err(400));
        assert_eq!(filter_of("min_price=-1"), Err(400));
    }

    // proves: CAT-1, CAT-2
    #[test]
    fn a_bound_has_a_currency() {
        assert_eq!(filter_of("currency=EUR").unwrap().currency, Some(Currency::Eur));
        for code in ["eur", "XXX", "", "EUR,USD"] {
            assert_eq!(filter_of(&format!("currency={code}")), Err(400), "{code}");
        }
        assert!(only_currency(&[]).is_ok());
        assert_eq!(only_currency(&[Currency::Gbp]), Ok(Currency::Gbp));
        let refused = only_currency(&Currency::ALL).unwrap_err();
        assert_eq!((refused.status, &*refused.title), (400, "currency required"));
    }
}
