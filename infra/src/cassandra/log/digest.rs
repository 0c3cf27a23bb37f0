//! The digests over derived rows: one scan of both tables for all shards.

use domain::command::CommandId;
use domain::merkle::Hash;
use domain::ports::log::{DerivedRows, LogError};
use domain::stream::StreamId;
use futures::TryStreamExt;
use uuid::Uuid;

use super::CassandraLogInner;
use super::event_rows::{id_prefix, stream_bucket};
use crate::cassandra::connect::unavailable;
use crate::derived_digest::{DerivedDigest, stream_key};

impl CassandraLogInner {
    pub(super) async fn derived_rows(
        &self,
        key: &Hash,
        bounds: &[u64],
    ) -> Result<Vec<DerivedRows>, LogError> {
        let mut digests: Vec<(u64, DerivedDigest)> =
            bounds.iter().map(|bound| (*bound, DerivedDigest::new(key))).collect();
        self.scan_pointers(&mut digests).await?;
        self.scan_commands(&mut digests).await?;
        Ok(digests.iter().map(|(_, digest)| digest.finish()).collect())
    }

    async fn scan_pointers(&self, digests: &mut [(u64, DerivedDigest)]) -> Result<(), LogError> {
        type Columns = (i32, String, String, i64, String, String, i64, i64, i32);
        let scan =
            self.session.execute_iter(self.statements.scan_events.clone(), &[]).await.map_err(unavailable)?;
        let mut rows = scan.rows_stream::<Columns>().map_err(unavailable)?;
        // Rows of a stream's bucket come together.
        let mut current: Option<(StreamId, Vec<u8>)> = None;
        while let Some(row) = rows.try_next().await.map_err(unavailable)? {
            let (of, tenant, prefix, bucket, kind, id, version, frame, event) = row;
            // One that stands where nobody looks for it is none.
            let place = (id_prefix(&id), stream_bucket(version as u64));
            let Some((bound, digest)) = usize::try_from(of).ok().and_then(|of| digests.get_mut(of)) else {
                continue;
            };
            if (prefix.as_str(), bucket) != place {
                continue;
            }
            digest.saw(frame as u64);
            if frame as u64 > *bound {
                continue;
            }
            let same = |(stream, _): &&(StreamId, Vec<u8>)| {
                (stream.tenant(), stream.kind(), stream.id()) == (&*tenant, &*kind, &*id)
            };
            if current.as_ref().filter(same).is_none() {
                let stream = StreamId::new(&tenant, &kind, &id);
                let key = stream_key(&stream);
                current = Some((stream, key));
            }
            if let Some((_, key)) = &current {
                digest.pointer(frame as u64, event as u64, version as u64, key);
            }
        }
        Ok(())
    }

    async fn scan_commands(&self, digests: &mut [(u64, DerivedDigest)]) -> Result<(), LogError> {
        type Columns = (i32, Uuid, i64, i32);
        let scan = self.statements.scan_command_results.clone();
        let scan = self.session.execute_iter(scan, &[]).await.map_err(unavailable)?;
        let mut rows = scan.rows_stream::<Columns>().map_err(unavailable)?;
        while let Some((of, id, frame, record)) = rows.try_next().await.map_err(unavailable)? {
            let Some((bound, digest)) = usize::try_from(of).ok().and_then(|of| digests.get_mut(of)) else {
                continue;
            };
            digest.saw(frame as u64);
            if frame as u64 <= *bound {
                digest.command(frame as u64, record as u64, CommandId(id));
            }
        }
        Ok(())
    }
}
