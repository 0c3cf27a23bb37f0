//! The open index: its one writer, and what was applied but not committed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use ::tantivy::collector::{DocSetCollector, TopDocs};
use ::tantivy::query::{AllQuery, TermQuery};
use ::tantivy::schema::IndexRecordOption;
use ::tantivy::{DocAddress, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument};
use domain::frame::FrameId;
use domain::merkle::Hash;
use domain::position::{Position, Seen, Shard};
use hex::FromHex;
use projections::engine::digest::RowDigest;
use projections::engine::mark::{Generation, Mark};
use projections::engine::origin;
use projections::engine::rows::{RowChange, Value};
use projections::engine::store::{Batch, StoreError, Visibility};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fields::Fields;
use crate::search_document::{self, Document};

/// Memory of the one indexing thread.
const HEAP_BYTES: usize = 32 << 20;

/// Documents that wait for a commit at most; they are in memory.
const COMMIT_AT: usize = 20_000;

/// What an index must agree with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// The projection's version.
    pub(super) version: u32,
    /// The dead letters that stand for the events that it lacks.
    pub(super) letters: Uuid,
}

/// The commit's payload: the checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    stamp: Stamp,
    /// Made with the index; nil for one that a program before this made.
    #[serde(default)]
    generation: Uuid,
    /// The last position applied of each shard, in shard order.
    seen: Vec<u64>,
    /// The store whose log the documents were made from; an older program didn't tell.
    #[serde(default)]
    log: Option<Uuid>,
    /// The frames that hold these positions, as far as they are known.
    #[serde(default)]
    frames: Vec<StoredMark>,
}

/// What the index was made from, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct StoredMark {
    shard: u16,
    position: u64,
    frame: u64,
    /// Hexadecimal digits.
    hash: String,
}

impl StoredMark {
    fn new(mark: &origin::Mark) -> Self {
        Self {
            shard: mark.position.shard.0,
            position: mark.position.n,
            frame: mark.frame.number,
            hash: hex::encode(mark.frame.hash),
        }
    }

    fn read(&self) -> Option<origin::Mark> {
        Some(origin::Mark {
            position: Position { shard: Shard(self.shard), n: self.position },
            frame: FrameId { number: self.frame, hash: FromHex::from_hex(&self.hash).ok()? },
        })
    }
}

/// Refuses an index that was made from another store's log, without touching it.
pub(super) fn refuse_other(dir: &Path, ours: Uuid) -> Result<(), StoreError> {
    if !dir.is_dir() {
        return Ok(());
    }
    let payload = Index::open_in_dir(dir).and_then(|index| index.load_metas()).map(|metas| metas.payload);
    let checkpoint: Option<Checkpoint> =
        payload.ok().flatten().and_then(|payload| serde_json::from_str(&payload).ok());
    match checkpoint.and_then(|checkpoint| checkpoint.log) {
        Some(theirs) if theirs != ours => Err(other_log(dir, theirs, ours)),
        _ => Ok(()),
    }
}

fn other_log(dir: &Path, theirs: Uuid, ours: Uuid) -> StoreError {
    let what = dir.display().to_string();
    let way_out = format!("remove {what} while no server runs: the next start makes it again from the log");
    StoreError::OtherLog { what, theirs, ours, way_out }
}

pub(super) struct Open {
    fields: Arc<Fields>,
    index: Index,
    writer: IndexWriter,
    reader: IndexReader,
    stamp: Stamp,
    generation: Uuid,
    log: Option<Uuid>,
    applied: Seen,
    marks: BTreeMap<Shard, origin::Mark>,
    /// Rows changed since the last commit, by id.
    pending: HashMap<String, Document>,
    /// The checkpoint moved since the last commit.
    moved: bool,
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("search index: {error}"))
}

impl Open {
    /// Whether it holds what a program with this stamp makes of a log with so many shards.
    pub(super) fn fits(&self, stamp: Stamp, shards: u16) -> bool {
        self.stamp == stamp && self.applied.positions().count() == usize::from(shards)
    }

    /// Why another one is filled beside it.
    pub(super) fn foreign(&self, stamp: Stamp) -> String {
        let (theirs, ours) = (self.stamp.version, stamp.version);
        format!("the search index is of version {theirs}; version {ours} is being filled beside it")
    }

    /// Makes an empty index in place of whatever is there.
    pub(super) fn create(
        dir: &Path,
        fields: &Arc<Fields>,
        stamp: Stamp,
        shards: u16,
        log: Option<Uuid>,
    ) -> Result<Self, StoreError> {
        if dir.exists() {
            std::fs::remove_dir_all(dir).map_err(unavailable)?;
        }
        std::fs::create_dir_all(dir).map_err(unavailable)?;
        let index = Index::create_in_dir(dir, fields.schema.clone()).map_err(unavailable)?;
        let mut open =
            Self::with(index, fields, stamp, Uuid::now_v7(), Seen::none(shards)).map_err(unavailable)?;
        open.log = log;
        open.moved = true;
        open.commit()?;
        Ok(open)
    }

    /// Has the index depend on other dead letters, which hold the same.
    pub(super) fn restamp(&mut self, letters: Uuid) -> Result<(), StoreError> {
        self.moved |= self.stamp.letters != letters;
        self.stamp.letters = letters;
        self.commit()
    }

    /// Opens an index that is there and whole.
    pub(super) fn existing(dir: &Path, fields: &Arc<Fields>) -> ::tantivy::Result<Self> {
        let unfit = |reason: String| ::tantivy::TantivyError::InvalidArgument(reason);
        let index = Index::open_in_dir(dir)?;
        if index.schema() != fields.schema {
            return Err(unfit("the index has other fields".to_owned()));
        }
        let damaged = index.validate_checksum()?;
        if !damaged.is_empty() {
            return Err(unfit(format!("{} files are damaged", damaged.len())));
        }
        let payload = index.load_metas()?.payload.unwrap_or_default();
        let checkpoint: Checkpoint = serde_json::from_str(&payload)
            .map_err(|e| unfit(format!("the checkpoint can't be read: {e}")))?;
        let shards = u16::try_from(checkpoint.seen.len()).map_err(|e| unfit(e.to_string()))?;
        let mut seen = Seen::none(shards);
        for (shard, n) in (0..shards).zip(&checkpoint.seen) {
            seen.advance(Position { shard: Shard(shard), n: *n });
        }
        let mut open = Self::with(index, fields, checkpoint.stamp, checkpoint.generation, seen)?;
        open.log = checkpoint.log;
        let marks = checkpoint.frames.iter().filter_map(StoredMark::read);
        open.marks = marks.map(|mark| (mark.position.shard, mark)).collect();
        Ok(open)
    }

    fn with(
        index: Index,
        fields: &Arc<Fields>,
        stamp: Stamp,
        generation: Uuid,
        applied: Seen,
    ) -> ::tantivy::Result<Self> {
        let writer = index.writer_with_num_threads(1, HEAP_BYTES)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self {
            fields: Arc::clone(fields),
            index,
            writer,
            reader,
            stamp,
            generation,
            log: None,
            applied,
            marks: BTreeMap::new(),
            pending: HashMap::new(),
            moved: false,
        })
    }

    pub(super) fn reader(&self) -> IndexReader {
        self.reader.clone()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { generation: Generation::named(self.generation.to_string()), seen: self.applied.clone() }
    }

    pub(super) fn marks(&self) -> Vec<origin::Mark> {
        self.marks.values().copied().collect()
    }

    /// Has the index belong to a log from now on.
    pub(super) fn bind(&mut self, log: Uuid) -> Result<(), StoreError> {
        self.moved |= self.log != Some(log);
        self.log = Some(log);
        self.commit()
    }

    pub(super) fn log(&self) -> Option<Uuid> {
        self.log
    }

    pub(super) fn apply(&mut self, batch: &Batch) -> Result<Visibility, StoreError> {
        for part in &batch.parts {
            if part.moves.iter().any(|m| self.applied.last(m.shard) != m.from) {
                return Err(StoreError::Moved(part.projection.to_owned()));
            }
        }
        for part in &batch.parts {
            self.change(&part.changes)?;
            for moved in &part.moves {
                let position = Position { shard: moved.shard, n: moved.to };
                self.applied.advance(position);
                self.marks.insert(moved.shard, origin::Mark { position, frame: moved.frame });
                self.moved = true;
            }
        }
        if self.pending.len() >= COMMIT_AT {
            self.commit()?;
        }
        Ok(match (self.pending.is_empty(), self.moved) {
            (false, _) => Visibility::Pending,
            (true, true) => Visibility::Visible,
            (true, false) => Visibility::Stored,
        })
    }

    /// Merges changes into their rows and hands the new documents to the writer. A refusal leaves everything as it was.
    pub(super) fn change(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        let mut changed: HashMap<String, Document> = HashMap::new();
        for change in changes {
            search_document::check(self.fields.index, change)?;
            let id = search_document::id(&change.key);
            let mut row = match changed.get(&id).or_else(|| self.pending.get(&id)) {
                Some(row) => row.clone(),
                None => self.stored(&change.key)?.unwrap_or_else(|| Document::new(change.key.clone())),
            };
            if row.merge(change) {
                changed.insert(id, row);
            }
        }
        let keyed = |row: &Document| Ok((self.fields.key(row.key()), self.fields.document(row)?));
        let documents: Result<Vec<_>, StoreError> = changed.values().map(keyed).collect();
        for (key, document) in documents? {
            self.writer.delete_term(key);
            self.writer.add_document(document).map_err(unavailable)?;
        }
        self.pending.extend(changed);
        Ok(())
    }

    fn stored(&self, key: &[Value]) -> Result<Option<Document>, StoreError> {
        let searcher = self.reader.searcher();
        let query = TermQuery::new(self.fields.key(key), IndexRecordOption::Basic);
        let found = searcher.search(&query, &TopDocs::with_limit(1).order_by_score()).map_err(unavailable)?;
        let found = found.first().map(|(_, address)| document(&searcher, &self.fields, *address));
        found.transpose().map_err(unavailable)
    }

    /// Makes visible, and stores, everything applied, with its checkpoint.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() && !self.moved {
            return Ok(());
        }
        let seen = self.applied.positions().map(|p| p.n).collect();
        let frames = self.marks.values().map(StoredMark::new).collect();
        let (stamp, generation, log) = (self.stamp, self.generation, self.log);
        let payload = serde_json::to_string(&Checkpoint { stamp, generation, seen, log, frames })
            .map_err(unavailable)?;
        let mut commit = self.writer.prepare_commit().map_err(unavailable)?;
        commit.set_payload(&payload);
        commit.commit().map_err(unavailable)?;
        self.reader.reload().map_err(unavailable)?;
        self.pending.clear();
        self.moved = false;
        Ok(())
    }

    fn rows(&self) -> Result<BTreeMap<Vec<Value>, Document>, StoreError> {
        debug_assert!(self.index.schema() == self.fields.schema);
        let searcher = self.reader.searcher();
        let all = searcher.search(&AllQuery, &DocSetCollector).map_err(unavailable)?;
        let mut rows = BTreeMap::new();
        for address in all {
            let row = document(&searcher, &self.fields, address).map_err(unavailable)?;
            rows.insert(row.key().to_vec(), row);
        }
        Ok(rows)
    }

    pub(super) fn digest(&self) -> Result<Hash, StoreError> {
        let mut digest = RowDigest::default();
        digest.table(self.fields.index.table.name);
        self.rows()?.values().for_each(|row| row.add_to(self.fields.index, &mut digest));
        Ok(digest.finish())
    }

    pub(super) fn document_digests(&self) -> Result<BTreeMap<String, Hash>, StoreError> {
        let rows = self.rows()?;
        let digest = |row: &Document| (search_document::id(row.key()), row.digest(self.fields.index));
        Ok(rows.values().map(digest).collect())
    }
}

/// Whether an index is there that is whole but for its fields, which are other ones.
pub(super) fn has_other_fields(dir: &Path, fields: &Fields) -> bool {
    Index::open_in_dir(dir).is_ok_and(|index| index.schema() != fields.schema)
}

/// The row that a document holds.
pub(super) fn document(
    searcher: &Searcher,
    fields: &Fields,
    address: DocAddress,
) -> ::tantivy::Result<Document> {
    fields.row(&searcher.doc::<TantivyDocument>(address)?)
}
