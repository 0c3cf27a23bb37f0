//! Paging while the index changes, and what a search may cost.

use domain::catalogue::product::ProductCommand;
use domain::catalogue::product::ProductView;
use projections::catalogue::documents::ProductSearch as _;
use projections::catalogue::products::ProductSort;
use projections::engine::query::Page;
use projections::engine::read_models::ReadError;

use super::{Catalogue, SearchFactory, item};
use crate::contract::history::{stream, usd};

const SORTS: [ProductSort; 5] = [
    ProductSort::Relevance,
    ProductSort::Created,
    ProductSort::PriceAsc,
    ProductSort::PriceDesc,
    ProductSort::Name,
];

async fn lamps(factory: &dyn SearchFactory) -> Catalogue {
    let mut all = Catalogue::empty(factory).await;
    for n in 0..20_i64 {
        let name = ["Lamp", "Lamp for the desk", "Desk lamp with a shade", "Reading light"][n as usize % 4];
        let details = item(&format!("L{n}"), name, "home", &"lamp ".repeat(n as usize % 3 + 1));
        all.history.product(details, 100 * (n % 6) + 100).await;
    }
    all.catch_up().await;
    all
}

/// Whatever is added, changed and taken away while somebody pages, they see every product once, as it was at the first page.
// proves: CAT-2
pub async fn pages_are_of_one_view_while_the_index_changes(factory: &dyn SearchFactory) {
    for sort in SORTS {
        let mut all = lamps(factory).await;
        let whole = all.page("lamp", sort, &Page { after: None, limit: 100 }).await.unwrap();
        let (mut page, mut paged) = (Page { after: None, limit: 3 }, Vec::<ProductView>::new());
        for round in 0_i64.. {
            let hits = all.page("lamp", sort, &page).await.unwrap();
            assert_eq!((hits.total, &hits.categories), (whole.total, &whole.categories), "{sort:?}");
            paged.extend(hits.page.items);
            page.after = hits.page.next;
            if page.after.is_none() {
                break;
            }
            // Cheaper, dearer, better and worse matches; one seen already and one to come change their places.
            for cents in [1, 350, 99_999] {
                let details =
                    item(&format!("N{round}-{cents}"), "Lamp lamp", "new", "lamp ".repeat(9).as_str());
                all.history.product(details, cents + round).await;
            }
            let (first, last) = (paged[0].id, whole.page.items.last().unwrap().id);
            for (id, name, cents) in [(first, "A lamp to end all", 99_999), (last, "Zz lamp", 1)] {
                let details = item(&format!("X{id}"), name, "changed", &format!("round {round}"));
                let update = ProductCommand::Update { details, price: usd(cents) };
                all.history.decide(&stream("product", id), update).await;
            }
            if round == 1 {
                let gone = whole.page.items[whole.page.items.len() - 2].id;
                all.history.decide(&stream("product", gone), ProductCommand::Discontinue).await;
            }
            all.catch_up().await;
        }
        assert_eq!(paged, whole.page.items, "{sort:?}");
    }
}

/// Scores depend on all documents, so a list by relevance ends with its view. The other orders go on behind the last row.
// proves: CAT-2
pub async fn a_list_whose_view_is_gone_is_told_so_or_goes_on(factory: &dyn SearchFactory) {
    let all = lamps(factory).await;
    for sort in SORTS {
        let whole = all.page("lamp", sort, &Page { after: None, limit: 100 }).await.unwrap().page.items;
        let first = all.page("lamp", sort, &Page { after: None, limit: 7 }).await.unwrap();
        let cursor = all.backend.lose_view(first.page.next.unwrap()).await;
        let rest = all.page("lamp", sort, &Page { after: Some(cursor), limit: 100 }).await;
        if sort == ProductSort::Relevance {
            assert_eq!(rest, Err(ReadError::Expired));
        } else {
            assert_eq!(rest.unwrap().page.items, whole[7..], "{sort:?}");
        }
    }
}

/// Whatever is typed is looked for, and no number of searches at once is more than turned away.
// proves: CAT-2, SEC-10
pub async fn what_a_search_costs_is_bounded(factory: &dyn SearchFactory) {
    let all = lamps(factory).await;
    let kanji: String = (0..500_u32).filter_map(|n| char::from_u32(0x4e00 + n * 7)).collect();
    let words: String =
        (0..120).map(|n| format!("{}x ", ["lamb", "lanp", "lump"][n % 3].repeat(n / 30 + 1))).collect();
    let marks = format!("l{}", "\u{301}".repeat(400));
    let odd =
        ["l".repeat(500), "l ".repeat(250), kanji, words, marks, "กา".repeat(200), "\u{94d}".repeat(99)];
    for text in &odd {
        all.page(text, ProductSort::Relevance, &Page { after: None, limit: 100 }).await.unwrap();
    }

    let search = all.backend.search();
    let start = || {
        let search = search.clone();
        tokio::spawn(async move {
            let page = Page { after: None, limit: 3 };
            let filter = super::ProductFilter::default();
            search.search_products("default", "lanp", &filter, ProductSort::Relevance, &page).await
        })
    };
    let asked: Vec<_> = (0..300).map(|_| start()).collect();
    let mut served = 0;
    for one in asked {
        match one.await.unwrap() {
            Ok(hits) => {
                assert!(hits.total > 0);
                served += 1;
            }
            Err(error) => assert_eq!(error, ReadError::Overloaded),
        }
    }
    assert!(served > 0);
    // Those who leave take no place with them.
    for _ in 0..4 {
        let asked: Vec<_> = (0..300).map(|_| start()).collect();
        tokio::task::yield_now().await;
        asked.iter().for_each(tokio::task::JoinHandle::abort);
    }
    assert!(all.skus("lanp").await.len() > 3);
}
