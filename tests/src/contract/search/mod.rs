//! The contract of search, mostly of products. [`search_contract!`](crate::search_contract) makes a test of every case; the cases are generic over
//! a [`SearchFactory`], so that every backend passes the same ones.

use std::sync::Arc;

use async_trait::async_trait;
use domain::catalogue::product::{ProductCommand, ProductDetails};
use domain::money::{Currency, Money};
use domain::ports::clock::SystemClock;
use domain::ports::log::EventLog;
use domain::stream::StreamId;
use infra::sqlite::log::SqliteLog;
use projections::catalogue::documents::{INDEX, ProductSearch as _, Search, SearchHits};
use projections::catalogue::products::{ProductFilter, ProductSort};
use projections::engine::applier::{Applier, Limits};
use projections::engine::index::SearchIndex;
use projections::engine::model::Projection;
use projections::engine::query::Page;
use projections::engine::read_models::ReadError;
use projections::engine::search::TextSearch;
use projections::engine::store::RowStore;
use tempfile::TempDir;
use uuid::Uuid;

use super::history::{History, stream, usd};

mod declared;
mod paging;
mod scripts;

pub use declared::an_index_of_anything_is_asked_alike;
pub use paging::{
    a_list_whose_view_is_gone_is_told_so_or_goes_on, pages_are_of_one_view_while_the_index_changes,
    what_a_search_costs_is_bounded,
};
pub use scripts::{every_script_is_found_within_longer_names, marks_that_make_other_words_are_kept};

/// A search backend.
#[async_trait]
pub trait SearchBackend: Send + Sync {
    /// Its store.
    fn store(&self) -> Arc<dyn RowStore>;

    /// Its searches.
    fn search(&self) -> Arc<dyn TextSearch>;

    /// Has the view be gone that a cursor names, as after a restart of whatever keeps it; the cursor, as a client still has it.
    async fn lose_view(&self, cursor: String) -> String;
}

/// Makes empty backends.
#[async_trait]
pub trait SearchFactory: Send + Sync {
    /// An empty one that has this index.
    async fn fresh(&self, index: &'static SearchIndex) -> Box<dyn SearchBackend>;
}

/// A catalogue that is being searched.
struct Catalogue {
    history: History,
    log: Arc<dyn EventLog>,
    backend: Box<dyn SearchBackend>,
    _dir: TempDir,
}

fn item(sku: &str, name: &str, category: &str, description: &str) -> ProductDetails {
    ProductDetails {
        sku: sku.into(),
        name: name.into(),
        description: description.into(),
        category: category.into(),
        attributes: [("colour".to_owned(), "azure".to_owned())].into(),
    }
}

impl Catalogue {
    async fn empty(factory: &dyn SearchFactory) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(dir.path(), 4).unwrap());
        let history = History::new(Arc::clone(&log));
        Self { history, log, backend: factory.fresh(&INDEX).await, _dir: dir }
    }

    /// Some products of three categories.
    async fn stocked(factory: &dyn SearchFactory) -> Self {
        let mut all = Self::empty(factory).await;
        for (details, cents) in [
            (item("HP-100", "Wireless headphones", "audio", "Over-ear, with noise cancelling"), 19_900),
            (item("HP-200", "Wired headphones", "audio", "For the studio"), 9_900),
            (item("KB-1", "Mechanical keyboard", "computing", "Loud; wireless too"), 12_900),
            (item("MS-1", "Mouse", "computing", "Goes well with any keyboard"), 2_900),
            (item("CR-1", "Crème brûlée torch", "kitchen", "Caramelises sugar"), 3_900),
        ] {
            all.history.product(details, cents).await;
        }
        all.catch_up().await;
        all
    }

    /// Applies the log from wherever the store stands.
    async fn catch_up(&mut self) {
        let projections: [Arc<dyn Projection>; 1] = [Arc::new(Search)];
        let clock = Arc::new(SystemClock);
        let opened =
            Applier::open(self.backend.store(), &projections, self.log.store(), clock, Limits::default());
        let mut applier = opened.await.unwrap();
        applier.apply(&self.history.events, self.log.as_ref()).await.unwrap();
        self.backend.store().publish().await.unwrap();
    }

    async fn hits(&self, text: &str, filter: &ProductFilter, sort: ProductSort) -> SearchHits {
        let page = Page { after: None, limit: 100 };
        self.backend.search().search_products("default", text, filter, sort, &page).await.unwrap()
    }

    async fn page(&self, text: &str, sort: ProductSort, page: &Page) -> Result<SearchHits, ReadError> {
        self.backend.search().search_products("default", text, &ProductFilter::default(), sort, page).await
    }

    async fn skus(&self, text: &str) -> Vec<String> {
        let hits = self.hits(text, &ProductFilter::default(), ProductSort::Relevance).await;
        hits.page.items.into_iter().map(|product| product.sku).collect()
    }
}

fn category(name: &str) -> ProductFilter {
    ProductFilter { category: Some(name.into()), ..ProductFilter::default() }
}

/// Every word must match somewhere; the best match comes first.
// proves: CAT-2
pub async fn words_are_found_best_match_first(factory: &dyn SearchFactory) {
    let all = Catalogue::stocked(factory).await;
    assert_eq!(all.skus("keyboard").await, ["KB-1", "MS-1"]);
    assert_eq!(all.skus("wireless headphones").await, ["HP-100"]);
    assert_eq!(all.skus("hp-200").await, ["HP-200"]);
    assert_eq!(all.skus("studio").await, ["HP-200"]);
    assert_eq!(all.skus("Kitchen").await, ["CR-1"]);
    assert_eq!(all.skus("azure mouse").await, ["MS-1"]);
    assert!(all.skus("keyboard torch").await.is_empty());
    assert!(all.skus("?!").await.is_empty());
    assert_eq!(all.skus("").await.len(), 5);
}

/// One error in a word of three letters or more, two from eight on, none in numbers and shorter words.
// proves: CAT-2
pub async fn typing_errors_are_tolerated(factory: &dyn SearchFactory) {
    let all = Catalogue::stocked(factory).await;
    for typed in ["keybaord", "kebyoard", "keyborad", "KEYBOAD", "kezboatd"] {
        assert_eq!(all.skus(typed).await[0], "KB-1", "{typed}");
    }
    assert_eq!(all.skus("muose").await, ["MS-1"]);
    assert_eq!(all.skus("wirelss headphnes").await, ["HP-100"]);
    assert!(all.skus("msoeu").await.is_empty());
    assert!(all.skus("hp-201").await.is_empty());
    assert!(all.skus("fr").await.is_empty());
}

/// With and without accents, either way round.
// proves: CAT-2
pub async fn accents_and_case_make_no_difference(factory: &dyn SearchFactory) {
    let all = Catalogue::stocked(factory).await;
    for typed in ["creme brulee", "CRÈME BRÛLÉE", "crème", "brülee"] {
        assert_eq!(all.skus(typed).await, ["CR-1"], "{typed}");
    }
}

/// Counts of categories add up to the total, whatever narrows the matches down.
// proves: CAT-2
pub async fn facets_agree_with_the_filtered_totals(factory: &dyn SearchFactory) {
    let all = Catalogue::stocked(factory).await;
    let filters = [
        ProductFilter::default(),
        category("audio"),
        category("nothing"),
        ProductFilter { min_price: Some(3_900), max_price: Some(12_900), ..ProductFilter::default() },
        ProductFilter { max_price: Some(2_899), ..ProductFilter::default() },
        ProductFilter { currency: Some(Currency::Eur), ..ProductFilter::default() },
    ];
    let mut totals = Vec::new();
    for filter in &filters {
        let hits = all.hits("", filter, ProductSort::Created).await;
        assert_eq!(hits.total, hits.page.items.len() as u64, "{filter:?}");
        assert_eq!(hits.categories.iter().map(|(_, count)| count).sum::<u64>(), hits.total);
        for (name, count) in &hits.categories {
            let narrowed = ProductFilter { category: Some(name.clone()), ..filter.clone() };
            assert_eq!(all.hits("", &narrowed, ProductSort::Created).await.total, *count);
        }
        totals.push(hits.total);
    }
    assert_eq!(totals, [5, 2, 0, 3, 0, 0]);
    let hits = all.hits("", &filters[0], ProductSort::Created).await;
    let expected = [("audio", 2), ("computing", 2), ("kitchen", 1)];
    assert_eq!(hits.categories, expected.map(|(name, count)| (name.to_owned(), count)));
}

/// A category's spellings are compared in their normal form; each product shows its own.
// proves: CAT-2
pub async fn categories_are_compared_in_their_normal_form(factory: &dyn SearchFactory) {
    let mut all = Catalogue::empty(factory).await;
    for (n, spelling) in
        ["Tea & Coffee", "tea &  coffee ", "TEA\u{200b} & COFFEE", "te\u{301}a"].iter().enumerate()
    {
        all.history.product(item(&format!("C-{n}"), "Cup", spelling, ""), 100).await;
    }
    all.catch_up().await;
    let hits = all.hits("cup", &category("tea & coffee"), ProductSort::Created).await;
    let shown: Vec<_> = hits.page.items.iter().map(|product| product.category.as_str()).collect();
    assert_eq!(shown, ["Tea & Coffee", "tea &  coffee ", "TEA\u{200b} & COFFEE"]);
    assert_eq!(all.hits("", &category("t\u{e9}a"), ProductSort::Created).await.total, 1);
    assert_eq!(
        all.hits("", &category("Tea & Coffee"), ProductSort::Created).await.total,
        0,
        "filters come normalised"
    );
}

/// Pages of any size, put together, are the whole list, in every order.
// proves: CAT-2
pub async fn pages_put_together_are_the_whole_list(factory: &dyn SearchFactory) {
    let mut all = Catalogue::empty(factory).await;
    for n in 0..23_i64 {
        let details =
            item(&format!("S{n}"), ["Lamp", "lamp", "Ämp"][n as usize % 3], "home", "a lamp to read by");
        let currency = Currency::ALL[n as usize % Currency::ALL.len()];
        all.history.priced_product(details, Money::new(100 * (n % 5) + 100, currency)).await;
        if n % 7 == 0 {
            // Several segments.
            all.catch_up().await;
        }
    }
    all.catch_up().await;
    let sorts = [
        ProductSort::Created,
        ProductSort::PriceAsc,
        ProductSort::PriceDesc,
        ProductSort::Name,
        ProductSort::Relevance,
    ];
    for sort in sorts {
        let whole = all.hits("lamp", &ProductFilter::default(), sort).await;
        let whole: Vec<_> = whole.page.items.iter().map(|p| (p.price, p.name.clone(), p.id)).collect();
        assert_eq!(whole.len(), 23);
        match sort {
            // Amounts of two currencies are never compared.
            ProductSort::PriceAsc => {
                assert!(whole.is_sorted_by_key(|(price, _, id)| (price.currency.code(), price.amount, *id)));
            }
            ProductSort::PriceDesc => {
                assert!(whole.is_sorted_by_key(|(price, _, id)| (price.currency.code(), -price.amount, *id)));
            }
            ProductSort::Created => assert!(whole.is_sorted_by_key(|(_, _, id)| *id)),
            ProductSort::Name => assert_eq!(whole[0].1, "Ämp"),
            ProductSort::Relevance => assert!(whole[22].1 == "Ämp"),
        }
        for limit in [1, 4, 23] {
            let mut page = Page { after: None, limit };
            let mut paged = Vec::new();
            loop {
                let filter = ProductFilter::default();
                let hits = all
                    .backend
                    .search()
                    .search_products("default", "lamp", &filter, sort, &page)
                    .await
                    .unwrap();
                assert_eq!(hits.total, 23);
                paged.extend(hits.page.items.into_iter().map(|p| (p.price, p.name, p.id)));
                page.after = hits.page.next;
                if page.after.is_none() {
                    break;
                }
            }
            assert_eq!(paged, whole, "{sort:?}, {limit} a page");
        }
    }
}

/// A cursor of another order, or of none, is refused.
// proves: CAT-2, SEC-10
pub async fn foreign_cursors_are_refused(factory: &dyn SearchFactory) {
    let all = Catalogue::stocked(factory).await;
    let filter = ProductFilter::default();
    let first = Page { after: None, limit: 1 };
    let hits = all
        .backend
        .search()
        .search_products("default", "", &filter, ProductSort::Name, &first)
        .await
        .unwrap();
    let after = hits.page.next.unwrap();
    for after in [after.as_str(), "", "[]", "x", "[\"search-currency-price\",\"None\",0,\"x\"]"] {
        let page = Page { after: Some(after.to_owned()), limit: 1 };
        let answer =
            all.backend.search().search_products("default", "", &filter, ProductSort::PriceAsc, &page).await;
        assert_eq!(answer, Err(ReadError::BadCursor), "{after}");
    }
}

/// Changes reach the document, whatever the batches; a discontinued product is found no more.
// proves: CAT-1
pub async fn changes_reach_the_document(factory: &dyn SearchFactory) {
    let mut all = Catalogue::stocked(factory).await;
    let id = all.hits("mouse", &ProductFilter::default(), ProductSort::Relevance).await.page.items[0].id;
    let product = stream("product", id);
    let update = ProductCommand::Update {
        details: item("MS-2", "Trackball", "computing", "Round"),
        price: usd(4_500),
    };
    all.history.decide(&product, update).await;
    all.catch_up().await;
    assert!(all.skus("mouse").await.is_empty());
    let hits = all.hits("trackball", &ProductFilter::default(), ProductSort::Relevance).await;
    let found = &hits.page.items[0];
    assert_eq!((found.price, found.version, found.name.as_str()), (usd(4_500), 3, "Trackball"));
    all.history.decide(&product, ProductCommand::Discontinue).await;
    all.catch_up().await;
    assert!(all.skus("trackball").await.is_empty());
    assert_eq!(all.hits("", &category("computing"), ProductSort::Created).await.total, 1);
}

/// Another tenant's products are never found.
// proves: SEC-4
pub async fn tenants_see_only_their_own(factory: &dyn SearchFactory) {
    let mut all = Catalogue::stocked(factory).await;
    let id = Uuid::now_v7();
    let create = ProductCommand::Create { details: item("X-1", "Secret keyboard", "x", "y"), price: usd(1) };
    all.history.decide(&StreamId::new("other", "product", id), create).await;
    all.catch_up().await;
    assert_eq!(all.skus("keyboard").await, ["KB-1", "MS-1"]);
    let page = Page { after: None, limit: 10 };
    let filter = ProductFilter::default();
    let hits = all
        .backend
        .search()
        .search_products("other", "", &filter, ProductSort::Created, &page)
        .await
        .unwrap();
    assert_eq!(hits.page.items.iter().map(|p| p.id).collect::<Vec<_>>(), [id]);
}

/// Makes a test of every case of the contract. `$factory` is an expression for a new [`SearchFactory`].
#[macro_export]
macro_rules! search_contract {
    ($factory:expr) => {
        $crate::search_contract!(@cases $factory;
            words_are_found_best_match_first,
            typing_errors_are_tolerated,
            accents_and_case_make_no_difference,
            facets_agree_with_the_filtered_totals,
            categories_are_compared_in_their_normal_form,
            pages_put_together_are_the_whole_list,
            foreign_cursors_are_refused,
            changes_reach_the_document,
            tenants_see_only_their_own,
            every_script_is_found_within_longer_names,
            marks_that_make_other_words_are_kept,
            pages_are_of_one_view_while_the_index_changes,
            a_list_whose_view_is_gone_is_told_so_or_goes_on,
            what_a_search_costs_is_bounded,
            an_index_of_anything_is_asked_alike
        );
    };
    (@cases $factory:expr; $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::contract::search::$case(&$factory).await;
            }
        )+
    };
}
