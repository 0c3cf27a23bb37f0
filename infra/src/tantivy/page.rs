//! Collecting a page of matches with its totals: one pass over all matches, keeping only the page's rows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use ::tantivy::columnar::{Column, StrColumn, TermOrdHit};
use ::tantivy::query::{EnableScoring, Scorer as _};
use ::tantivy::{DocAddress, DocId, DocSet as _, Score, Searcher, SegmentOrdinal, SegmentReader, TERMINATED};
use domain::Timestamp;
use projections::engine::query::Direction;
use projections::engine::rows::{ColumnKind, Value};
use projections::engine::search::Found;
use uuid::Uuid;

use super::fields::{Fields, high, low};
use super::index::document;
use super::query::SearchPlan;
use crate::text_query::{by_count, score_key};

/// Runs a search until `stop` says that nobody waits for it any more. Its rows, and the place of the page's end if there is another one.
pub(super) fn run(
    searcher: &Searcher,
    fields: &Fields,
    plan: &SearchPlan,
    stop: &dyn Fn() -> bool,
) -> Result<(Found, Option<Vec<Value>>), Failure> {
    let mut found = collect(searcher, fields, plan, stop)?;
    let (directions, limit) = (plan.wanted.directions(), plan.wanted.search.page.limit);
    found.hits.sort_by(|a, b| {
        let pairs = a.place.iter().zip(&b.place).zip(&directions);
        let mut compared = pairs.map(|((a, b), direction)| match direction {
            Direction::Ascending => a.cmp(b),
            Direction::Descending => b.cmp(a),
        });
        compared.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    });
    let more = found.hits.len() > limit;
    found.hits.truncate(limit);
    let mut rows = Vec::with_capacity(found.hits.len());
    for hit in &found.hits {
        rows.push(document(searcher, fields, hit.address)?.into_row(fields.index));
    }
    let end = found.hits.pop().filter(|_| more).map(|hit| hit.place);
    let facets = found.facets.into_iter().map(|counts| by_count(counts.into_iter().collect())).collect();
    Ok((Found { rows, next: None, total: found.total, facets }, end))
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
fn collect(
    searcher: &Searcher,
    fields: &Fields,
    plan: &SearchPlan,
    stop: &dyn Fn() -> bool,
) -> Result<Collected, Failure> {
    let scored = plan.wanted.search.best_first;
    let scoring = match scored {
        true => EnableScoring::enabled_from_searcher(searcher),
        false => EnableScoring::disabled_from_searcher(searcher),
    };
    let weight = plan.query.weight(scoring)?;
    let facets = plan.wanted.search.facets.iter().map(|_| BTreeMap::new()).collect();
    let mut all = Collected { total: 0, facets, hits: Vec::new() };
    for (ord, reader) in (0..).zip(searcher.segment_readers()) {
        if stop() {
            return Err(Failure::Stopped);
        }
        let mut page = SegmentPage::of(plan, fields, ord, reader)?;
        let mut matches = weight.scorer(reader, 1.0)?;
        let alive = reader.alive_bitset();
        let (mut doc, mut seen) = (matches.doc(), 0_u32);
        while doc != TERMINATED {
            if alive.is_none_or(|alive| alive.is_alive(doc)) {
                page.take(doc, if scored { matches.score() } else { 0.0 });
            }
            doc = matches.advance();
            seen += 1;
            if seen.is_multiple_of(LOOK_EVERY) && stop() {
                return Err(Failure::Stopped);
            }
        }
        page.add_to(&mut all).map_err(::tantivy::TantivyError::from)?;
    }
    Ok(all)
}

/// A match, with the values that it is sorted by.
struct Hit {
    place: Vec<Value>,
    address: DocAddress,
}

struct Collected {
    total: u64,
    facets: Vec<BTreeMap<String, u64>>,
    /// The first ones of each segment that come after the cursor, one more than the page holds.
    hits: Vec<Hit>,
}

/// A column that matches are sorted by, within a segment.
enum Sorted {
    Number(Column<i64>, ColumnKind),
    /// `None` in a segment whose documents have no such text.
    Text(Option<StrColumn>),
    Id(Column<u64>, Column<u64>),
}

/// The place of a number among all numbers.
fn rank_of(n: i64) -> u128 {
    u128::from(n.cast_unsigned() ^ (1 << 63))
}

/// The place of a text: that of its ordinal in the segment's dictionary, with room between two for those that aren't in it.
fn rank_at(ordinal: u64) -> u128 {
    2 * u128::from(ordinal) + 1
}

fn turned(rank: u128, direction: Direction) -> u128 {
    match direction {
        Direction::Ascending => rank,
        Direction::Descending => !rank,
    }
}

impl Sorted {
    fn of(reader: &SegmentReader, name: &str, kind: ColumnKind) -> ::tantivy::Result<Self> {
        let columns = reader.fast_fields();
        // A segment of nothing but tombstones has no columns, and no matches.
        Ok(match kind {
            ColumnKind::Text | ColumnKind::Json => Self::Text(columns.str(name)?),
            ColumnKind::Uuid => {
                let half = |name: &str| -> ::tantivy::Result<Column<u64>> {
                    let found = columns.column_opt(name)?;
                    Ok(found.unwrap_or_else(|| Column::build_empty_column(reader.max_doc())))
                };
                Self::Id(half(&high(name))?, half(&low(name))?)
            }
            ColumnKind::Int | ColumnKind::Bool | ColumnKind::Time => {
                let found = columns.column_opt(name)?;
                Self::Number(found.unwrap_or_else(|| Column::build_empty_column(reader.max_doc())), kind)
            }
        })
    }

    /// The place of a document in the ascending order of this column, within the segment.
    fn rank(&self, doc: DocId) -> u128 {
        match self {
            Self::Number(numbers, _) => rank_of(numbers.first(doc).unwrap_or_default()),
            Self::Text(texts) => texts.as_ref().and_then(|texts| texts.ords().first(doc)).map_or(0, rank_at),
            Self::Id(high, low) => id(high, low, doc).as_u128(),
        }
    }

    /// The place of a value that a document of another segment has.
    fn rank_of_value(&self, value: &Value) -> std::io::Result<u128> {
        Ok(match (self, value) {
            (Self::Text(Some(texts)), Value::Text(text) | Value::Json(text)) => {
                match texts.dictionary().term_ord_or_next(text)? {
                    TermOrdHit::Exact(ordinal) => rank_at(ordinal),
                    // Just before the next one.
                    TermOrdHit::Next(ordinal) => 2 * u128::from(ordinal),
                }
            }
            (_, Value::Int(n)) => rank_of(*n),
            (_, Value::Bool(b)) => rank_of(i64::from(*b)),
            (_, Value::Time(at)) => rank_of(at.timestamp_micros()),
            (_, Value::Uuid(id)) => id.as_u128(),
            (_, Value::Null | Value::Text(_) | Value::Json(_)) => 0,
        })
    }

    /// The value of a document, comparable across segments.
    fn value(&self, doc: DocId) -> std::io::Result<Value> {
        Ok(match self {
            Self::Number(numbers, kind) => {
                let n = numbers.first(doc).unwrap_or_default();
                match kind {
                    ColumnKind::Bool => Value::Bool(n != 0),
                    ColumnKind::Time => Timestamp::from_timestamp_micros(n).map_or(Value::Null, Value::Time),
                    _ => Value::Int(n),
                }
            }
            Self::Text(texts) => {
                let mut text = String::new();
                if let Some((texts, ord)) = texts.as_ref().and_then(|t| Some((t, t.ords().first(doc)?))) {
                    texts.ord_to_str(ord, &mut text)?;
                }
                Value::Text(text)
            }
            Self::Id(high, low) => Value::Uuid(id(high, low, doc)),
        })
    }
}

fn id(high: &Column<u64>, low: &Column<u64>, doc: DocId) -> Uuid {
    Uuid::from_u64_pair(high.first(doc).unwrap_or_default(), low.first(doc).unwrap_or_default())
}

/// The places of a document in each column of the order, descending ones turned.
type Key = Vec<u128>;

struct SegmentPage {
    segment: SegmentOrdinal,
    best_first: bool,
    order: Vec<(Sorted, Direction)>,
    /// Where the page starts: matches above the key.
    after: Option<Key>,
    keep: usize,
    /// By ordinal.
    facets: Vec<(Option<StrColumn>, BTreeMap<u64, u64>)>,
    total: u64,
    /// The lowest keys, with the score; the highest of them on top.
    best: BinaryHeap<(Key, DocId, i64)>,
    key: Key,
}

impl SegmentPage {
    fn of(
        plan: &SearchPlan,
        fields: &Fields,
        segment: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> ::tantivy::Result<Self> {
        let search = &plan.wanted.search;
        let mut order = Vec::with_capacity(search.order.len());
        for (name, direction) in &search.order {
            order.push((Sorted::of(reader, name, fields.kind(name)?)?, *direction));
        }
        let mut facets = Vec::with_capacity(search.facets.len());
        for name in search.facets {
            facets.push((reader.fast_fields().str(name)?, BTreeMap::new()));
        }
        let start = |place: &Vec<Value>| -> std::io::Result<Key> {
            let (score, values) = place.split_at(usize::from(search.best_first));
            let mut key = Key::with_capacity(place.len());
            key.extend(score.iter().map(|score| if let Value::Int(n) = score { rank_of(*n) } else { 0 }));
            for (value, (sorted, direction)) in values.iter().zip(&order) {
                key.push(turned(sorted.rank_of_value(value)?, *direction));
            }
            Ok(key)
        };
        let after = plan.wanted.after.as_ref().map(start).transpose()?;
        Ok(Self {
            segment,
            best_first: search.best_first,
            order,
            after,
            keep: search.page.limit + 1,
            facets,
            total: 0,
            best: BinaryHeap::new(),
            key: Key::new(),
        })
    }

    fn take(&mut self, doc: DocId, score: Score) {
        self.total += 1;
        for (values, counts) in &mut self.facets {
            if let Some(ord) = values.as_ref().and_then(|values| values.ords().first(doc)) {
                *counts.entry(ord).or_default() += 1;
            }
        }
        let score = score_key(score);
        self.key.clear();
        self.key.extend(self.best_first.then(|| rank_of(score)));
        self.key.extend(self.order.iter().map(|(sorted, direction)| turned(sorted.rank(doc), *direction)));
        let is_full = self.best.len() == self.keep;
        let too_late = is_full && self.best.peek().is_some_and(|(highest, _, _)| self.key >= *highest);
        if too_late || self.after.as_ref().is_some_and(|after| self.key <= *after) {
            return;
        }
        if is_full {
            self.best.pop();
        }
        self.best.push((self.key.clone(), doc, score));
    }

    fn add_to(self, all: &mut Collected) -> std::io::Result<()> {
        all.total += self.total;
        for ((values, counts), facet) in self.facets.iter().zip(&mut all.facets) {
            let Some(values) = values else { continue };
            for (ord, count) in counts {
                let mut value = String::new();
                values.ord_to_str(*ord, &mut value)?;
                *facet.entry(value).or_default() += count;
            }
        }
        for (_, doc, score) in self.best {
            let score = self.best_first.then_some(Ok(Value::Int(score)));
            let columns = self.order.iter().map(|(sorted, _)| sorted.value(doc));
            let place = score.into_iter().chain(columns).collect::<std::io::Result<_>>()?;
            all.hits.push(Hit { place, address: DocAddress::new(self.segment, doc) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use projections::catalogue::documents::{INDEX, SEARCH_PRODUCTS};
    use projections::catalogue::products::{ProductFilter, ProductSort};
    use projections::engine::query::Page;
    use projections::engine::rows::RowChange;

    use super::*;
    use crate::search_document::Document;
    use crate::tantivy::query;

    // proves: SEC-10
    #[test]
    fn a_search_that_nobody_waits_for_ends() {
        let fields = Fields::of(&INDEX);
        let index = ::tantivy::Index::create_in_ram(fields.schema.clone());
        let mut writer: ::tantivy::IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
        for n in 0..5 * LOOK_EVERY {
            let key = vec![Value::Text("default".into()), Value::Uuid(Uuid::from_u128(u128::from(n)))];
            let mut row = Document::new(key.clone());
            let set = vec![("discontinued", Value::Bool(false))];
            row.merge(&RowChange { table: &SEARCH_PRODUCTS, key, group: "product", version: 1, set });
            writer.add_document(fields.document(&row).unwrap()).unwrap();
        }
        writer.commit().unwrap();
        let page = Page { after: None, limit: 10 };
        let search = ProductFilter::default().search("default", "", ProductSort::Created, &page);
        let plan = query::plan(&fields, &search).unwrap();
        let looks = Cell::new(0);
        let stop = || {
            looks.set(looks.get() + 1);
            looks.get() == 3
        };
        let found = run(&index.reader().unwrap().searcher(), &fields, &plan, &stop);
        assert!(matches!(found, Err(Failure::Stopped)), "{found:?}");
        assert_eq!(looks.get(), 3, "in the middle of the matches");
    }
}
