//! Events: what a decision produces, and what the log keeps of it.

use std::borrow::Cow;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::Timestamp;
use crate::aggregate::EventSet;
use crate::position::Position;
use crate::stream::{StreamId, StreamRef};
use crate::upcast::DecodeError;
use crate::wire::{Reader, WireError, put_bytes, put_varint};

/// An event as an aggregate's decision encoded it, before it has a place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The dotted type, `order.placed`.
    pub event_type: Cow<'static, str>,
    /// The version of the shape of `data`.
    pub schema_version: u16,
    /// The payload, JSON text.
    pub data: String,
}

/// An event with its envelope, as the log keeps it. Its stored form (format 1) is, in this order:
/// id (16 bytes), time (i64, microseconds since 1970), tenant, aggregate type, stream id (byte strings), version
/// (varint), event type (byte string), schema version (varint), correlation id (16), causation id (16), actor, data
/// (byte strings). Integers are little-endian, varints unsigned LEB128, byte strings prefixed by their length as a varint.
/// The position is not part of it: it is the frame's first position plus the event's index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// UUIDv7, unique.
    pub id: Uuid,
    /// When the owner decided it; never decreases within a shard.
    pub time: Timestamp,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in the stream, from 1.
    pub version: u64,
    /// Its place in the shard.
    pub position: Position,
    /// The dotted type, `order.placed`.
    pub event_type: String,
    /// The version of the shape of `data`.
    pub schema_version: u16,
    /// One id runs through everything that a first command set off.
    pub correlation_id: Uuid,
    /// The id of the command that caused it.
    pub causation_id: Uuid,
    /// Who acted: `user:<id>`, `saga:<name>`, `system:<part>`.
    pub actor: String,
    /// The payload, JSON text, exactly as decided.
    pub data: String,
}

/// The parts of an event that its command supplies.
#[derive(Debug, Clone, Copy)]
pub struct EventMeta<'a> {
    /// UUIDv7, unique.
    pub id: Uuid,
    /// When the owner decided it.
    pub time: Timestamp,
    /// The stream it belongs to.
    pub stream: &'a StreamId,
    /// Its place in the stream, from 1.
    pub version: u64,
    /// See [`RecordedEvent::correlation_id`].
    pub correlation_id: Uuid,
    /// See [`RecordedEvent::causation_id`].
    pub causation_id: Uuid,
    /// See [`RecordedEvent::actor`].
    pub actor: &'a str,
}

/// Writes the stored form of an event (see [`RecordedEvent`]).
pub fn encode_event(meta: &EventMeta<'_>, event: &NewEvent, out: &mut Vec<u8>) {
    encode_parts(meta, &event.event_type, event.schema_version, &event.data, out);
}

fn encode_parts(meta: &EventMeta<'_>, event_type: &str, schema_version: u16, data: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(meta.id.as_bytes());
    out.extend_from_slice(&meta.time.timestamp_micros().to_le_bytes());
    put_bytes(out, meta.stream.tenant().as_bytes());
    put_bytes(out, meta.stream.kind().as_bytes());
    put_bytes(out, meta.stream.id().as_bytes());
    put_varint(out, meta.version);
    put_bytes(out, event_type.as_bytes());
    put_varint(out, u64::from(schema_version));
    out.extend_from_slice(meta.correlation_id.as_bytes());
    out.extend_from_slice(meta.causation_id.as_bytes());
    put_bytes(out, meta.actor.as_bytes());
    put_bytes(out, data.as_bytes());
}

impl RecordedEvent {
    /// What happened, as today's code has it.
    ///
    /// # Errors
    /// See [`EventSet::read`].
    pub fn typed<E: EventSet>(&self) -> Result<E, DecodeError> {
        E::read(&self.event_type, self.schema_version, &self.data)
    }

    /// The stream's id, which is a UUID for most aggregates.
    ///
    /// # Errors
    /// When it is none.
    pub fn stream_uuid(&self) -> Result<Uuid, DecodeError> {
        Uuid::parse_str(self.stream.id()).map_err(|_| self.unfit("the stream's id is not a UUID"))
    }

    /// Says why it can't be read.
    #[must_use]
    pub fn unfit(&self, reason: &str) -> DecodeError {
        DecodeError { event_type: self.event_type.clone(), reason: reason.to_owned() }
    }

    /// The stored form again. One event has one encoding, so these are the bytes that the log holds.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let meta = EventMeta {
            id: self.id,
            time: self.time,
            stream: &self.stream,
            version: self.version,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            actor: &self.actor,
        };
        let mut out = Vec::with_capacity(160 + self.data.len());
        encode_parts(&meta, &self.event_type, self.schema_version, &self.data, &mut out);
        out
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are not exactly one event of format 1.
    pub fn decode(bytes: &[u8], position: Position) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let id = Uuid::from_bytes(reader.array("event id")?);
        let time = Timestamp::from_timestamp_micros(reader.i64("event time")?)
            .ok_or(WireError::Malformed("event time"))?;
        let tenant = reader.str("tenant")?;
        let kind = reader.str("aggregate type")?;
        let stream = StreamId::new(tenant, kind, reader.str("stream id")?);
        let version = reader.varint("version")?;
        let event_type = reader.str("event type")?.to_owned();
        let schema_version = u16::try_from(reader.varint("schema version")?)
            .map_err(|_| WireError::Malformed("schema version"))?;
        let correlation_id = Uuid::from_bytes(reader.array("correlation id")?);
        let causation_id = Uuid::from_bytes(reader.array("causation id")?);
        let actor = reader.str("actor")?.to_owned();
        let data = reader.str("data")?.to_owned();
        reader.end("event")?;
        Ok(Self {
            id,
            time,
            stream,
            version,
            position,
            event_type,
            schema_version,
            correlation_id,
            causation_id,
            actor,
            data,
        })
    }
}

/// The wire form of api.md: `{id, type, schema_version, time, tenant, stream, version, position, …, data}`.
impl Serialize for RecordedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data: serde_json::Value = serde_json::from_str(&self.data).map_err(serde::ser::Error::custom)?;
        let mut out = serializer.serialize_struct("Event", 12)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("type", &self.event_type)?;
        out.serialize_field("schema_version", &self.schema_version)?;
        out.serialize_field("time", &wire_time(self.time))?;
        out.serialize_field("tenant", self.stream.tenant())?;
        let stream = StreamRef { kind: self.stream.kind().to_owned(), id: self.stream.id().to_owned() };
        out.serialize_field("stream", &stream)?;
        out.serialize_field("version", &self.version)?;
        out.serialize_field("position", &self.position)?;
        out.serialize_field("correlation_id", &self.correlation_id)?;
        out.serialize_field("causation_id", &self.causation_id)?;
        out.serialize_field("actor", &self.actor)?;
        out.serialize_field("data", &data)?;
        out.end()
    }
}

/// An instant as the API writes it: RFC 3339, UTC, microseconds.
#[must_use]
pub fn wire_time(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// [`wire_time`] for `#[serde(serialize_with = "…")]`.
///
/// # Errors
/// The serializer's own.
pub fn serialize_wire_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&wire_time(*at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Shard;

    #[test]
    fn an_event_read_back_encodes_to_the_bytes_it_was_read_from() {
        let stream = StreamId::new("default", "order", "7");
        let meta = EventMeta {
            id: Uuid::from_u128(1),
            time: Timestamp::from_timestamp_micros(1_700_000_000_000_123).unwrap(),
            stream: &stream,
            version: 300,
            correlation_id: Uuid::from_u128(2),
            causation_id: Uuid::from_u128(3),
            actor: "user:ü",
        };
        let event = NewEvent {
            event_type: "order.placed".into(),
            schema_version: 2,
            data: "{\"a\": 1.0}".to_owned(),
        };
        let mut bytes = Vec::new();
        encode_event(&meta, &event, &mut bytes);
        let read = RecordedEvent::decode(&bytes, Position { shard: Shard(0), n: 1 }).unwrap();
        assert_eq!(read.encode(), bytes);
    }
}
