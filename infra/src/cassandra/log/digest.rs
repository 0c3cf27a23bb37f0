//! The digest over a shard's derived rows: a scan of both tables, whose rows are then put in the order of the log.

use std::collections::HashMap;

use domain::command::CommandId;
use domain::merkle::Hash;
use domain::ports::log::LogError;
use domain::position::Shard;
use domain::stream::StreamId;
use futures::TryStreamExt;
use uuid::Uuid;

use super::Inner;
use super::event_rows::{id_prefix, stream_bucket};
use crate::cassandra::connect::unavailable;
use crate::derived_digest::{DerivedDigest, stream_key};

impl Inner {
    /// Keeps about 40 bytes for each event, 24 for each command and 100 for each stream of the shard until it is done.
    pub(super) async fn derived_digest(&self, shard: Shard) -> Result<Hash, LogError> {
        let mut digest = DerivedDigest::default();
        let (streams, mut pointers) = self.scan_pointers(shard).await?;
        pointers.sort_unstable();
        for (frame, event, version, stream) in pointers {
            digest.pointer(frame, event, version, &streams[stream]);
        }
        for (frame, record, id) in self.scan_commands(shard).await? {
            digest.command(frame, record, CommandId(id));
        }
        Ok(digest.finish())
    }

    /// The keys of streams, and (frame, event, version, index of the stream's key) of every row.
    async fn scan_pointers(
        &self,
        shard: Shard,
    ) -> Result<(Vec<Vec<u8>>, Vec<(u64, u64, u64, usize)>), LogError> {
        type Columns = (i32, String, String, i64, String, String, i64, i64, i32);
        let scan =
            self.session.execute_iter(self.statements.scan_events.clone(), &[]).await.map_err(unavailable)?;
        let mut rows = scan.rows_stream::<Columns>().map_err(unavailable)?;
        let (mut keys, mut pointers, mut indices) = (Vec::new(), Vec::new(), HashMap::new());
        // Rows of a stream's bucket come together.
        let mut current: Option<(StreamId, usize)> = None;
        while let Some(row) = rows.try_next().await.map_err(unavailable)? {
            let (of, tenant, prefix, bucket, kind, id, version, frame, event) = row;
            // One that stands where nobody looks for it is none.
            let place = (id_prefix(&id), stream_bucket(version as u64));
            if of != i32::from(shard.0) || (prefix.as_str(), bucket) != place {
                continue;
            }
            let index = match &current {
                Some((stream, index))
                    if (stream.tenant(), stream.kind(), stream.id()) == (&*tenant, &*kind, &*id) =>
                {
                    *index
                }
                _ => {
                    let stream = StreamId::new(&tenant, &kind, &id);
                    let index = *indices.entry(stream.clone()).or_insert_with(|| {
                        keys.push(stream_key(&stream));
                        keys.len() - 1
                    });
                    current = Some((stream, index));
                    index
                }
            };
            pointers.push((frame as u64, event as u64, version as u64, index));
        }
        Ok((keys, pointers))
    }

    /// (frame, record, id) of every row, in order.
    async fn scan_commands(&self, shard: Shard) -> Result<Vec<(u64, u64, Uuid)>, LogError> {
        type Columns = (i32, Uuid, i64, i32);
        let scan = self.statements.scan_command_results.clone();
        let scan = self.session.execute_iter(scan, &[]).await.map_err(unavailable)?;
        let rows = scan.rows_stream::<Columns>().map_err(unavailable)?.map_err(unavailable);
        let mine = rows.try_filter_map(|(of, id, frame, record)| {
            let mine = of == i32::from(shard.0);
            std::future::ready(Ok(mine.then_some((frame as u64, record as u64, id))))
        });
        let mut commands: Vec<_> = mine.try_collect().await?;
        commands.sort_unstable();
        Ok(commands)
    }
}
