//! Dead letters.

use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use projections::engine::store::{DeadLetter, StoreError};
use rusqlite::types::Type;
use rusqlite::{Connection, params};

use super::{columns, unavailable};

pub(super) fn is_parked(conn: &Connection, projection: &str, stream: &StreamId) -> rusqlite::Result<bool> {
    let mut statement = conn.prepare_cached(include_str!("is_parked.sql"))?;
    statement.query_row((projection, stream.tenant(), stream.kind(), stream.id()), |row| row.get(0))
}

/// The parked streams, each with the version of its first letter, and how many letters there are.
pub(super) fn parked(conn: &Connection, projection: &str) -> rusqlite::Result<(Vec<(StreamId, u64)>, u64)> {
    let mut statement = conn.prepare_cached(include_str!("select_parked.sql"))?;
    let mut rows = statement.query([projection])?;
    let (mut streams, mut letters) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let part = |index: usize| row.get_ref(index).and_then(|v| Ok(v.as_str()?));
        streams.push((StreamId::new(part(0)?, part(1)?, part(2)?), row.get(3)?));
        letters += row.get::<_, u64>(4)?;
    }
    Ok((streams, letters))
}

pub(super) fn park(conn: &Connection, projection: &str, letters: &[DeadLetter]) -> Result<(), StoreError> {
    for letter in letters {
        let event = &letter.event;
        let stream = &event.stream;
        if letter.follows {
            let mut statement =
                conn.prepare_cached(include_str!("follows_letter.sql")).map_err(unavailable)?;
            let params = params![projection, stream.tenant(), stream.kind(), stream.id(), event.version];
            if !statement.query_row(params, |row| row.get(0)).map_err(unavailable)? {
                return Err(StoreError::Moved(projection.to_owned()));
            }
        }
        let mut statement = conn.prepare_cached(include_str!("insert_letter.sql")).map_err(unavailable)?;
        let params = params![
            projection,
            event.position.shard.0,
            event.position.n,
            stream.tenant(),
            stream.kind(),
            stream.id(),
            event.version,
            event.encode(),
            letter.reason,
            letter.parked_at.timestamp_micros(),
        ];
        statement.execute(params).map_err(unavailable)?;
    }
    Ok(())
}

pub(super) fn select(
    conn: &Connection,
    projection: &str,
    stream: &StreamId,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut statement = conn.prepare_cached(include_str!("select_letters.sql"))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        statement.query_map((projection, stream.tenant(), stream.kind(), stream.id(), limit), |row| {
            let position = Position { shard: Shard(row.get(0)?), n: row.get(1)? };
            let event = RecordedEvent::decode(row.get_ref(2)?.as_blob()?, position)
                .map_err(|e| rusqlite::Error::FromSqlConversionFailure(2, Type::Blob, Box::new(e)))?;
            Ok(DeadLetter {
                event: Arc::new(event),
                reason: row.get(3)?,
                parked_at: columns::time(row, 4)?,
                follows: false,
            })
        })?;
    let mut letters: Vec<DeadLetter> = rows.collect::<Result<_, _>>()?;
    letters.iter_mut().skip(1).for_each(|letter| letter.follows = true);
    Ok(letters)
}

/// Removes the oldest letter of its stream.
pub(super) fn settle(conn: &Connection, projection: &str, position: Position) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(include_str!("delete_letter.sql")).map_err(unavailable)?;
    let deleted =
        statement.execute(params![projection, position.shard.0, position.n]).map_err(unavailable)?;
    if deleted == 1 { Ok(()) } else { Err(StoreError::Moved(projection.to_owned())) }
}

pub(super) fn clear(conn: &Connection, projection: &str) -> Result<(), StoreError> {
    conn.execute("DELETE FROM dead_letters WHERE projection = ?1", [projection]).map_err(unavailable)?;
    Ok(())
}
