//! The differences between two generations, found by reading both in order of the key.

use std::cmp::Ordering;

use domain::merkle::Hash;
use projections::engine::digest::RowDigest;
use projections::engine::index::SearchIndex;
use projections::engine::store::StoreError;

use crate::elasticsearch::client::Client;
use crate::elasticsearch::scan::Scan;
use crate::rebuild::{Difference, RowDifference};
use crate::search_document::{self, Document};

/// How many differing documents are told of.
const EXAMPLES: usize = 5;

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Documents built.
    pub(super) rows: u64,
    /// Keys whose documents differ, or that only one side has.
    pub(super) differing: u64,
    /// Of these, keys that only the live generation has.
    pub(super) only_live: u64,
    /// Of these, keys that only the built one has.
    pub(super) only_built: u64,
    /// The first of them.
    pub(super) examples: Vec<RowDifference>,
    /// Zeros when there was nothing to compare with.
    pub(super) digest_before: Hash,
    pub(super) digest_after: Hash,
}

impl Comparison {
    fn note(&mut self, kind: &SearchIndex, live: Option<&Document>, built: Option<&Document>) {
        self.differing += 1;
        let difference = match (live, built) {
            (Some(_), None) => {
                self.only_live += 1;
                Difference::OnlyLive
            }
            (Some(live), Some(built)) => {
                let differ = kind.columns().filter(|c| live.get(kind, c.name) != built.get(kind, c.name));
                Difference::Changed { columns: differ.map(|c| c.name.to_owned()).collect() }
            }
            _ => {
                self.only_built += 1;
                Difference::OnlyBuilt
            }
        };
        if let Some(document) = live.or(built).filter(|_| self.examples.len() < EXAMPLES) {
            let key: Vec<String> = document.key().iter().map(search_document::plain).collect();
            let key = key.join("/");
            self.examples.push(RowDifference { table: kind.table.name, key, difference });
        }
    }
}

/// Compares the live generation, if there is one, with the one that was built. A live document of a later version has seen
/// events since: it counts as equal.
pub(super) async fn compare(
    client: &Client,
    kind: &'static SearchIndex,
    live: Option<&str>,
    built: &str,
) -> Result<Comparison, StoreError> {
    let mut live = match live {
        Some(index) => Some(Scan::open(client, kind, index).await?),
        None => None,
    };
    let mut built = Scan::open(client, kind, built).await?;
    let mut found = Comparison::default();
    let (mut before, mut after) = (RowDigest::default(), RowDigest::default());
    before.table(kind.table.name);
    after.table(kind.table.name);
    let mut old = next(&mut live).await?;
    let mut new = built.next().await?;
    while old.is_some() || new.is_some() {
        let order = match (&old, &new) {
            (Some(old), Some(new)) => old.key().cmp(new.key()),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let (left, right) = (old.as_ref().filter(|_| order.is_le()), new.as_ref().filter(|_| order.is_ge()));
        if let Some(right) = right {
            found.rows += 1;
            right.add_to(kind, &mut after);
        }
        let advanced = left.zip(right).filter(|(left, right)| left.version > right.version);
        if let Some(shown) = advanced.map(|(_, right)| right).or(left) {
            shown.add_to(kind, &mut before);
        }
        let equal = left.zip(right).is_some_and(|(l, r)| l.digest(kind) == r.digest(kind));
        if !equal && advanced.is_none() && live.is_some() {
            found.note(kind, left, right);
        }
        if order.is_le() {
            old = next(&mut live).await?;
        }
        if order.is_ge() {
            new = built.next().await?;
        }
    }
    found.digest_after = after.finish();
    built.close().await?;
    if let Some(live) = live {
        found.digest_before = before.finish();
        live.close().await?;
    }
    Ok(found)
}

async fn next(scan: &mut Option<Scan<'_>>) -> Result<Option<Document>, StoreError> {
    match scan {
        Some(scan) => scan.next().await,
        None => Ok(None),
    }
}
