//! Collecting a page of matches with its totals: one pass over all matches, keeping only the page's rows.

use std::collections::{BTreeMap, BinaryHeap};

use ::tantivy::collector::{Collector, SegmentCollector};
use ::tantivy::columnar::{Column, StrColumn, TermOrdHit};
use ::tantivy::query::{EnableScoring, Scorer as _};
use ::tantivy::{DocAddress, DocId, DocSet as _, Score, Searcher, SegmentOrdinal, SegmentReader, TERMINATED};
use projections::catalogue::documents::SearchHits;
use projections::catalogue::products::ProductSort;
use projections::engine::query::Listed;
use uuid::Uuid;

use super::document::fast;
use super::index::row;
use super::query::Plan;
use crate::keyset::{Keyset, SortValue};
use crate::price_order;
use crate::product_query::score_key;

/// Runs a search until `stop` says that nobody waits for it any more. Its rows, and the end of the page if there is another one.
pub(super) fn run(
    searcher: &Searcher,
    plan: &Plan,
    stop: &dyn Fn() -> bool,
) -> Result<(SearchHits, Option<Keyset>), Failure> {
    let found = collect(searcher, plan, stop)?;
    let mut hits = found.hits;
    hits.sort();
    let more = hits.len() > plan.limit;
    hits.truncate(plan.limit);
    let end = hits.last().filter(|_| more).map(|hit| Keyset {
        value: hit.value.clone(),
        created: hit.created,
        id: Uuid::from_u128(hit.id),
    });
    let mut items = Vec::with_capacity(hits.len());
    for hit in &hits {
        let unfit = || ::tantivy::TantivyError::InternalError("a live document lacks a field".to_owned());
        items.push(row(searcher, hit.address)?.product().ok_or_else(unfit)?);
    }
    let mut categories: Vec<(String, u64)> = found.categories.into_iter().collect();
    categories.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok((SearchHits { page: Listed { items, next: None }, total: found.total, categories }, end))
}

/// Why a search has no rows.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Index(#[from] ::tantivy::TantivyError),
}

/// Matches between two looks at whether somebody still waits.
const LOOK_EVERY: u32 = 1_024;

/// All matches, segment by segment.
fn collect(searcher: &Searcher, plan: &Plan, stop: &dyn Fn() -> bool) -> Result<Found, Failure> {
    let scored = plan.wanted.sort == ProductSort::Relevance;
    let scoring = match scored {
        true => EnableScoring::enabled_from_searcher(searcher),
        false => EnableScoring::disabled_from_searcher(searcher),
    };
    let weight = plan.query.weight(scoring)?;
    let pages = Pages { plan };
    let mut found = Vec::new();
    for (ord, reader) in (0..).zip(searcher.segment_readers()) {
        if stop() {
            return Err(Failure::Stopped);
        }
        let mut page = pages.for_segment(ord, reader)?;
        let mut matches = weight.scorer(reader, 1.0)?;
        let alive = reader.alive_bitset();
        let (mut doc, mut seen) = (matches.doc(), 0_u32);
        while doc != TERMINATED {
            if alive.is_none_or(|alive| alive.is_alive(doc)) {
                page.collect(doc, if scored { matches.score() } else { 0.0 });
            }
            doc = matches.advance();
            seen += 1;
            if seen.is_multiple_of(LOOK_EVERY) && stop() {
                return Err(Failure::Stopped);
            }
        }
        found.push(page.harvest());
    }
    Ok(pages.merge_fruits(found)?)
}

/// A match, ordered as the page is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    value: SortValue,
    created: i64,
    id: u128,
    address: DocAddress,
}

#[derive(Default)]
struct Found {
    total: u64,
    categories: BTreeMap<String, u64>,
    /// The first ones of each segment that come after the cursor, one more than the page holds.
    hits: Vec<Hit>,
}

struct Pages<'a> {
    plan: &'a Plan,
}

impl Collector for Pages<'_> {
    type Fruit = Found;
    type Child = SegmentPage;

    fn for_segment(&self, segment: SegmentOrdinal, reader: &SegmentReader) -> ::tantivy::Result<SegmentPage> {
        let columns = reader.fast_fields();
        let docs = reader.max_doc();
        let names = columns.str(fast::SORT_NAME)?;
        // A segment of nothing but tombstones has no columns, and no matches.
        let ints = |name| {
            Ok::<_, ::tantivy::TantivyError>(
                columns.column_opt(name)?.unwrap_or_else(|| Column::build_empty_column(docs)),
            )
        };
        let longs = |name| {
            Ok::<_, ::tantivy::TantivyError>(
                columns.column_opt(name)?.unwrap_or_else(|| Column::build_empty_column(docs)),
            )
        };
        Ok(SegmentPage {
            segment,
            sort: self.plan.wanted.sort,
            after: self
                .plan
                .wanted
                .after
                .as_ref()
                .map(|after| start(after, self.plan.wanted.sort, names.as_ref()))
                .transpose()?,
            keep: self.plan.limit + 1,
            categories: columns.str(fast::CATEGORY)?,
            names,
            price_order: ints(fast::PRICE_ORDER)?,
            created: ints(fast::CREATED)?,
            id_high: longs(fast::ID_HIGH)?,
            id_low: longs(fast::ID_LOW)?,
            total: 0,
            counts: BTreeMap::new(),
            best: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.plan.wanted.sort == ProductSort::Relevance
    }

    fn merge_fruits(&self, segments: Vec<::tantivy::Result<Found>>) -> ::tantivy::Result<Found> {
        let mut all = Found::default();
        for found in segments {
            let found = found?;
            all.total += found.total;
            all.hits.extend(found.hits);
            for (category, count) in found.categories {
                *all.categories.entry(category).or_default() += count;
            }
        }
        Ok(all)
    }
}

/// A match within a segment: sort key, created, id, document. Names are ordinals of the segment's dictionary.
type Key = (i64, i64, u128);

/// Where the page starts within a segment: matches above the key.
fn start(after: &Keyset, sort: ProductSort, names: Option<&StrColumn>) -> ::tantivy::Result<Key> {
    let id = after.id.as_u128();
    let key = match (&after.value, sort) {
        (SortValue::Text(name), ProductSort::Name) => {
            let hit = names.map(|names| names.dictionary().term_ord_or_next(name)).transpose()?;
            return Ok(match hit {
                Some(TermOrdHit::Exact(ord)) => (ordinal(ord), after.created, id),
                // No such name here: whatever has the next one comes after it.
                Some(TermOrdHit::Next(ord)) => (ordinal(ord) - 1, i64::MAX, u128::MAX),
                None => (i64::MAX, i64::MAX, u128::MAX),
            });
        }
        (SortValue::Number(n), _) => *n,
        _ => 0,
    };
    Ok((key, after.created, id))
}

fn ordinal(ord: u64) -> i64 {
    i64::try_from(ord).unwrap_or(i64::MAX)
}

struct SegmentPage {
    segment: SegmentOrdinal,
    sort: ProductSort,
    after: Option<Key>,
    keep: usize,
    categories: Option<StrColumn>,
    names: Option<StrColumn>,
    price_order: Column<i64>,
    created: Column<i64>,
    id_high: Column<u64>,
    id_low: Column<u64>,
    total: u64,
    /// By the category's ordinal.
    counts: BTreeMap<u64, u64>,
    /// The lowest keys; the highest of them on top.
    best: BinaryHeap<(Key, DocId)>,
}

impl SegmentPage {
    fn sort_key(&self, doc: DocId, score: Score) -> i64 {
        match self.sort {
            ProductSort::Created => 0,
            ProductSort::PriceAsc => self.price_order.first(doc).unwrap_or_default(),
            ProductSort::PriceDesc => price_order::turned(self.price_order.first(doc).unwrap_or_default()),
            ProductSort::Name => self.names.as_ref().and_then(|n| n.ords().first(doc)).map_or(0, ordinal),
            ProductSort::Relevance => score_key(score),
        }
    }

    /// The sort value that a key stands for, comparable across segments; ascending, like the key.
    fn sort_value(&self, key: i64) -> std::io::Result<SortValue> {
        Ok(match self.sort {
            ProductSort::Created => SortValue::None,
            ProductSort::PriceAsc | ProductSort::PriceDesc | ProductSort::Relevance => SortValue::Number(key),
            ProductSort::Name => {
                let mut name = String::new();
                if let (Some(names), Ok(ord)) = (&self.names, u64::try_from(key)) {
                    names.ord_to_str(ord, &mut name)?;
                }
                SortValue::Text(name)
            }
        })
    }

    fn finish(self) -> ::tantivy::Result<Found> {
        let mut found = Found { total: self.total, ..Found::default() };
        if let Some(categories) = &self.categories {
            for (ord, count) in &self.counts {
                let mut category = String::new();
                categories.ord_to_str(*ord, &mut category)?;
                found.categories.insert(category, *count);
            }
        }
        for ((key, created, id), doc) in &self.best {
            let address = DocAddress::new(self.segment, *doc);
            found.hits.push(Hit { value: self.sort_value(*key)?, created: *created, id: *id, address });
        }
        Ok(found)
    }
}

impl SegmentCollector for SegmentPage {
    type Fruit = ::tantivy::Result<Found>;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.total += 1;
        if let Some(ord) = self.categories.as_ref().and_then(|c| c.ords().first(doc)) {
            *self.counts.entry(ord).or_default() += 1;
        }
        let id = Uuid::from_u64_pair(
            self.id_high.first(doc).unwrap_or_default(),
            self.id_low.first(doc).unwrap_or_default(),
        );
        let key = (self.sort_key(doc, score), self.created.first(doc).unwrap_or_default(), id.as_u128());
        if self.after.is_none_or(|after| key > after) {
            self.best.push((key, doc));
            if self.best.len() > self.keep {
                self.best.pop();
            }
        }
    }

    fn harvest(self) -> Self::Fruit {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use projections::catalogue::products::ProductFilter;
    use projections::engine::query::Page;

    use super::*;
    use crate::tantivy::document::FIELDS;
    use crate::tantivy::query;

    // proves: SEC-10
    #[test]
    fn a_search_that_nobody_waits_for_ends() {
        let index = ::tantivy::Index::create_in_ram(FIELDS.schema.clone());
        let mut writer: ::tantivy::IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
        for n in 0..5 * LOOK_EVERY {
            let mut document = ::tantivy::TantivyDocument::default();
            document.add_text(FIELDS.key, n.to_string());
            document.add_text(FIELDS.tenant, "default");
            writer.add_document(document).unwrap();
        }
        writer.commit().unwrap();
        let page = Page { after: None, limit: 10 };
        let plan =
            query::plan("default", "", &ProductFilter::default(), ProductSort::Created, &page).unwrap();
        let looks = Cell::new(0);
        let stop = || {
            looks.set(looks.get() + 1);
            looks.get() == 3
        };
        let found = run(&index.reader().unwrap().searcher(), &plan, &stop);
        assert!(matches!(found, Err(Failure::Stopped)), "{found:?}");
        assert_eq!(looks.get(), 3, "in the middle of the matches");
    }
}
