//! Snapshots: one row for each fold that a stream was snapshotted by. Plain writes, whose stamp is the snapshot's version.

use domain::aggregate::{FoldId, SnapshotState};
use domain::ports::log::{KEPT_FOLDS, LogError, StoredSnapshot};
use domain::stream::StreamId;

use super::CassandraLogInner;
use super::statements::stamp;
use crate::cassandra::connect::{corrupt, unavailable};

/// A row without its state.
type Known = (Vec<u8>, u64);

impl CassandraLogInner {
    /// First the new row, then what it supersedes goes.
    pub(super) async fn write_snapshot(
        &self,
        generation: u64,
        stream: &StreamId,
        snapshot: &StoredSnapshot,
    ) -> Result<(), LogError> {
        let (version, contents) = (snapshot.version, &snapshot.contents);
        let known = self.known_snapshots(stream).await?;
        let id = contents.fold_id();
        if known.iter().any(|(fold, of)| fold_id(fold) == Some(id) && *of > version) {
            return Ok(());
        }
        let values = (
            stream.tenant(),
            stream.kind(),
            stream.id(),
            contents.fold.as_slice(),
            version as i64,
            snapshot.created_at,
            snapshot.updated_at,
            contents.state.as_str(),
            stamp(generation, version),
        );
        self.session.execute_unpaged(&self.statements.insert_snapshot, values).await.map_err(unavailable)?;
        for (fold, of) in superseded(known, &contents.fold) {
            // The row's own stamp, so that a later one by the same fold stays.
            let values =
                (stamp(generation, of), stream.tenant(), stream.kind(), stream.id(), fold.as_slice());
            self.session
                .execute_unpaged(&self.statements.delete_snapshot, values)
                .await
                .map_err(unavailable)?;
        }
        Ok(())
    }

    /// The stream's snapshots, newest first.
    async fn known_snapshots(&self, stream: &StreamId) -> Result<Vec<Known>, LogError> {
        let what = || format!("the snapshots of {stream}");
        let values = (stream.tenant(), stream.kind(), stream.id());
        let rows = self.session.execute_unpaged(&self.statements.select_snapshots, values).await;
        let rows = rows.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what(), e))?;
        let mut known = Vec::new();
        for row in rows.rows::<(&[u8], i64)>().map_err(|e| corrupt(what(), e))? {
            let (fold, version) = row.map_err(|e| corrupt(what(), e))?;
            known.push((fold.to_vec(), version as u64));
        }
        known.sort_by(|(fold, version), (other, than)| (than, other).cmp(&(version, fold)));
        Ok(known)
    }

    /// The newest of each fold; those of folds without a name have one each.
    pub(super) async fn read_snapshots(&self, stream: &StreamId) -> Result<Vec<StoredSnapshot>, LogError> {
        let what = || format!("the snapshots of {stream}");
        let mut snapshots: Vec<StoredSnapshot> = Vec::new();
        for (fold, _) in self.known_snapshots(stream).await? {
            // A row that nobody could have written is passed over.
            let Ok(fold) = <[u8; 32]>::try_from(fold.as_slice()) else { continue };
            if snapshots.iter().any(|s| Some(s.contents.fold_id()) == fold_id(&fold)) {
                continue;
            }
            let values = (stream.tenant(), stream.kind(), stream.id(), fold.as_slice());
            let rows = self.session.execute_unpaged(&self.statements.select_snapshot, values).await;
            let rows = rows.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what(), e))?;
            let row = rows.maybe_first_row::<(i64, i64, i64, &str)>().map_err(|e| corrupt(what(), e))?;
            // It may have been superseded since.
            let Some((version, created_at, updated_at, state)) = row else { continue };
            let contents = SnapshotState { state: state.to_owned(), fold };
            snapshots.push(StoredSnapshot { version: version as u64, created_at, updated_at, contents });
            if snapshots.len() == KEPT_FOLDS {
                break;
            }
        }
        Ok(snapshots)
    }
}

fn fold_id(fold: &[u8]) -> Option<FoldId> {
    fold.get(..16)?.try_into().ok()
}

/// What a new row of `fold` supersedes: older ones by the same fold, and of the others all but the newest.
fn superseded(known: Vec<Known>, fold: &[u8; 32]) -> Vec<Known> {
    let id = fold_id(fold);
    let mut kept = false;
    let mut goes = |of: &[u8]| fold_id(of) == id || std::mem::replace(&mut kept, true);
    let others = known.into_iter().filter(|(of, _)| of.as_slice() != fold);
    others.filter(|(of, _)| goes(of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_ones_of_a_fold_and_all_but_one_of_the_others_go() {
        let fold = |id: u8, check: u8| [[id; 16], [check; 16]].concat();
        let new: [u8; 32] = fold(1, 9).try_into().expect("32 bytes");
        let known =
            vec![(fold(2, 4), 40), (fold(1, 3), 30), (fold(3, 2), 20), (fold(2, 1), 10), (fold(1, 9), 5)];
        assert_eq!(superseded(known, &new), [(fold(1, 3), 30), (fold(3, 2), 20), (fold(2, 1), 10)]);
    }
}
