//! Reading derived rows.

use domain::Timestamp;
use domain::command::CommandId;
use domain::event::RecordedEvent;
use domain::frame::CommandRecord;
use domain::ports::log::{CommandResult, LogError};
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use uuid::Uuid;

use super::CassandraLogInner;
use super::event_rows::{Metadata, id_prefix, stream_bucket};
use super::statements::MAX_NUMBER;
use crate::cassandra::connect::{corrupt, unavailable};

type EventColumns<'a> = (i64, i64, Uuid, &'a str, i32, &'a str, &'a str, i64);

/// Rows of a stream that follow each other, and the first one after them that doesn't.
struct Rows {
    events: Vec<RecordedEvent>,
    hole: Option<Hole>,
}

/// A row whose predecessor is missing.
struct Hole {
    expected: u64,
    found: u64,
    frame: u64,
}

impl CassandraLogInner {
    /// The rows of a batch may arrive in any order, so above the checkpoint there may be holes for a while: then the answer ends
    /// before the first one. Below it a hole is damage.
    pub(super) async fn read_stream(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let shard = stream.shard(self.store.shards);
        let mut events: Vec<RecordedEvent> = Vec::new();
        let mut derived_through = None;
        while events.len() < limit && after + (events.len() as u64) < MAX_NUMBER {
            let last = after + events.len() as u64;
            let page = self.read_rows(shard, stream, last, limit - events.len()).await?;
            if let Some(Hole { expected, found, frame }) = page.hole {
                match derived_through {
                    Some(through) if frame <= through => {
                        let reason = format!("version {expected} has no row, but {found} has");
                        return Err(corrupt(stream, reason));
                    }
                    Some(_) => {
                        events.extend(page.events);
                        break;
                    }
                    // What the checkpoint covers by now was perhaps written since: look again.
                    None => derived_through = Some(self.progress(shard).await?.derived_through),
                }
                continue;
            }
            events.extend(page.events);
            // Only a bucket that is full is followed by another one.
            if stream_bucket(after + events.len() as u64 + 1) == stream_bucket(last + 1) {
                break;
            }
        }
        Ok(events)
    }

    /// The rows after version `last` in the bucket of the next version, at most `limit`.
    async fn read_rows(
        &self,
        shard: Shard,
        stream: &StreamId,
        last: u64,
        limit: usize,
    ) -> Result<Rows, LogError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let bucket = stream_bucket(last + 1);
        let (tenant, kind, id) = (stream.tenant(), stream.kind(), stream.id());
        let values = (i32::from(shard.0), tenant, id_prefix(id), bucket, kind, id, last as i64, limit);
        let rows = self.session.execute_unpaged(&self.statements.select_events, values).await;
        let rows = rows.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(stream, e))?;
        let mut events = Vec::new();
        for row in rows.rows::<EventColumns<'_>>().map_err(|e| corrupt(stream, e))? {
            let row = row.map_err(|e| corrupt(stream, e))?;
            let expected = last + events.len() as u64 + 1;
            if row.0 as u64 != expected {
                let hole = Hole { expected, found: row.0 as u64, frame: row.7 as u64 };
                return Ok(Rows { events, hole: Some(hole) });
            }
            let event = event(shard, stream, row);
            events.push(event.map_err(|reason| corrupt(format!("version {expected} of {stream}"), reason))?);
        }
        Ok(Rows { events, hole: None })
    }

    pub(super) async fn command_result(
        &self,
        shard: Shard,
        id: CommandId,
    ) -> Result<Option<CommandResult>, LogError> {
        type Columns<'a> = (i64, i64, &'a [u8], i64, i64, Option<&'a [u8]>);
        let what = || format!("the result of command {id}");
        let values = (i32::from(shard.0), id.0);
        let rows = self.session.execute_unpaged(&self.statements.select_command_result, values).await;
        let rows = rows.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what(), e))?;
        let row = rows.maybe_first_row::<Columns<'_>>().map_err(|e| corrupt(what(), e))?;
        let Some((frame, position, body_hash, first_event, events, answer)) = row else { return Ok(None) };
        let record = CommandRecord {
            id,
            body_hash: body_hash.try_into().map_err(|e| corrupt(what(), e))?,
            first_event: first_event as u64,
            events: events as u64,
            answer: answer.unwrap_or_default().to_vec(),
        };
        let position = Position { shard, n: position as u64 };
        Ok(Some(CommandResult { frame: frame as u64, position, record }))
    }
}

fn event(shard: Shard, stream: &StreamId, row: EventColumns<'_>) -> Result<RecordedEvent, String> {
    let (version, position, id, event_type, schema_version, payload, metadata, _frame) = row;
    let metadata: Metadata<'_> = serde_json::from_str(metadata).map_err(|e| format!("its metadata: {e}"))?;
    let time: Timestamp = metadata.time.parse().map_err(|e| format!("its time: {e}"))?;
    Ok(RecordedEvent {
        id,
        time,
        stream: stream.clone(),
        version: version as u64,
        position: Position { shard, n: position as u64 },
        event_type: event_type.to_owned(),
        schema_version: u16::try_from(schema_version)
            .map_err(|_| format!("schema version {schema_version}"))?,
        correlation_id: metadata.correlation_id,
        causation_id: metadata.causation_id,
        actor: metadata.actor.into_owned(),
        data: payload.to_owned(),
    })
}
