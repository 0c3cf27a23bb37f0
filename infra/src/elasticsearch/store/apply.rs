//! Applying a batch: checkpoints compared, letters parked, documents written, checkpoints moved.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::position::Position;
use futures::future::try_join_all;
use projections::engine::rows::RowChange;
use projections::engine::store::{Batch, Part, StoreError, Visibility};

use super::ElasticsearchStore;
use super::open::Open;
use crate::elasticsearch::bulk::{self, Write, Written};
use crate::elasticsearch::checkpoints::{self, Stored};
use crate::elasticsearch::client::Failure;
use crate::search_document::{self, Document};

/// A part, read and merged, not yet written.
struct Ready {
    open: Open,
    documents: Vec<Write>,
    checkpoints: Vec<Write>,
    /// Where the checkpoints move.
    moves: Vec<Position>,
}

impl ElasticsearchStore {
    pub(super) async fn apply_batch(&self, batch: Batch) -> Result<Visibility, StoreError> {
        let ready = try_join_all(batch.parts.iter().map(|part| self.ready(part))).await?;
        for part in batch.parts {
            if !part.letters.is_empty() {
                self.letters.park(part.projection, part.letters).await?;
            }
        }
        let wrote =
            try_join_all(ready.iter().map(|part| self.write_documents(&part.open, &part.documents))).await?;
        try_join_all(ready.iter().map(|part| self.move_checkpoints(part))).await?;
        // A checkpoint is stored at once; only documents wait for a refresh, and a generation that isn't shown yet.
        let pending = wrote.contains(&true) || ready.iter().any(|part| part.open.filling.is_some());
        Ok(if pending { Visibility::Pending } else { Visibility::Stored })
    }

    /// Writes changes without moving a checkpoint.
    pub(super) async fn write_changes(
        &self,
        projection: &'static str,
        changes: &[RowChange],
    ) -> Result<(), StoreError> {
        let open = self.opened(projection)?;
        let ids = to_read(&open, changes)?;
        let stored = checkpoints::read(&self.client, &open.alias(), &ids).await?;
        let before = self.written_before(&open, changes).await?;
        self.write_documents(&open, &merged(&open, changes, &stored, &before)?).await.map(|_| ())
    }

    /// Checks the changes and the checkpoints, and merges the changes into what is stored.
    async fn ready(&self, part: &Part) -> Result<Ready, StoreError> {
        let open = self.opened(part.projection)?;
        let mut ids = to_read(&open, &part.changes)?;
        ids.extend(part.moves.iter().map(|moved| checkpoints::id(moved.shard)));
        let stored = checkpoints::read(&self.client, &open.alias(), &ids).await?;
        let by_id: HashMap<&str, &Stored> = stored.iter().map(|s| (s.id.as_str(), s)).collect();
        let mut writes = Vec::with_capacity(part.moves.len());
        for moved in &part.moves {
            let stored = by_id.get(checkpoints::id(moved.shard).as_str()).copied();
            let at = stored.and_then(|s| checkpoints::position(&s.source)).map_or(0, |position| position.n);
            if at != moved.from {
                return Err(StoreError::Moved(part.projection.to_owned()));
            }
            let to = Position { shard: moved.shard, n: moved.to };
            writes.push(checkpoints::moved(open.kind, stored, to, Some(moved.frame)));
        }
        let moves = part.moves.iter().map(|moved| Position { shard: moved.shard, n: moved.to }).collect();
        let before = self.written_before(&open, &part.changes).await?;
        let documents = merged(&open, &part.changes, &stored, &before)?;
        Ok(Ready { documents, checkpoints: writes, moves, open })
    }

    /// Whether there was something to write.
    async fn write_documents(&self, open: &Open, documents: &[Write]) -> Result<bool, StoreError> {
        if documents.is_empty() {
            return Ok(false);
        }
        self.set_pending(open.kind);
        // A conflict: the index has the same version or a later one, from another consumer or from before a crash.
        bulk::write(&self.client, &open.alias(), documents).await?;
        Ok(true)
    }

    async fn move_checkpoints(&self, part: &Ready) -> Result<(), StoreError> {
        let open = &part.open;
        let written = bulk::write(&self.client, &open.alias(), &part.checkpoints).await;
        // A checkpoint is never refused for what it holds, and parking an event wouldn't help.
        let written = written.map_err(|failure| match failure {
            Failure::Refused(reason) => Failure::Unavailable(reason),
            other => other,
        })?;
        if written.contains(&Written::Conflict) {
            return Err(StoreError::Moved(open.kind.projection.to_owned()));
        }
        self.update(open.kind, |open| part.moves.iter().for_each(|to| open.applied.advance(*to)));
        Ok(())
    }
}

/// The ids of the documents that changes need, all checked.
fn to_read(open: &Open, changes: &[RowChange]) -> Result<Vec<String>, StoreError> {
    let mut ids: BTreeMap<String, bool> = BTreeMap::new();
    for change in changes {
        search_document::check(open.kind, change)?;
        // Only a row's first change tells whether what was there before matters.
        ids.entry(search_document::id(&change.key))
            .or_insert_with(|| !search_document::is_whole(open.kind, change));
    }
    Ok(ids.into_iter().filter_map(|(id, needed)| needed.then_some(id)).collect())
}

/// The documents that changes lead to, without those that were `written` to an older part.
fn merged(
    open: &Open,
    changes: &[RowChange],
    stored: &[Stored],
    written: &HashSet<String>,
) -> Result<Vec<Write>, StoreError> {
    let stored: HashMap<&str, &Stored> = stored.iter().map(|s| (s.id.as_str(), s)).collect();
    let mut rows: BTreeMap<String, (Document, bool)> = BTreeMap::new();
    for change in changes {
        let id = search_document::id(&change.key);
        if written.contains(&id) {
            continue;
        }
        let (mut row, changed) = match (rows.remove(&id), stored.get(id.as_str())) {
            (Some(row), _) => row,
            (None, Some(stored)) => (Document::from_source(open.kind, &stored.source)?, false),
            (None, None) => (Document::new(change.key.clone()), false),
        };
        let changed = row.merge(change) || changed;
        rows.insert(id, (row, changed));
    }
    let changed = rows.into_iter().filter(|(_, (_, changed))| *changed);
    changed.map(|(id, (row, _))| Ok(Write::versioned(&id, row.version, row.to_source(open.kind)?))).collect()
}
