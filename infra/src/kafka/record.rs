//! An event as a Kafka record: the CloudEvents 1.0 binding for Kafka, binary mode, so that any consumer can read it.
//!
//! Key: the stream, `tenant/type/id`. Value: the event's `data` as the log holds it. Headers: the attributes, all of them text; see [`NAMES`]
//! and [`FRAME_HASH`].
//! Key, value and headers together give back the very event, byte for byte of its stored form.

use domain::Timestamp;
use domain::event::{RecordedEvent, wire_time};
use domain::frame::FrameId;
use domain::merkle::Hash;
use domain::ports::log::StoreInfo;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use hex::FromHex;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use uuid::Uuid;

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";

/// The headers' names, in the order in which they are written.
const NAMES: [&str; 18] = [
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_time",
    "ce_subject",
    "content-type",
    "ce_tenant",
    "ce_streamtype",
    "ce_streamid",
    "ce_streamversion",
    "ce_position",
    "ce_frame",
    "ce_schemaversion",
    "ce_correlationid",
    "ce_causationid",
    "ce_actor",
    "ce_partitionkey",
];

/// The hash of the frame, in hexadecimal digits; the last header. Records of older programs don't have it.
const FRAME_HASH: &str = "ce_framehash";

/// `ce_source` of a store: events of another store in the same topic are foreign.
pub(super) fn source(store: Uuid) -> String {
    format!("/tillstream/{store}")
}

/// The store whose event a record is, by its header; of any store.
pub(super) fn source_of<M: Message>(message: &M) -> Option<Uuid> {
    let stated = message.headers()?.iter().find(|header| header.key == NAMES[2])?.value?;
    std::str::from_utf8(stated).ok()?.strip_prefix("/tillstream/")?.parse().ok()
}

/// The key and the headers of an event. `source` is [`source`].
pub(super) fn encode(event: &RecordedEvent, frame: &FrameId, source: &str) -> (String, OwnedHeaders) {
    let stream = &event.stream;
    let key = stream.to_string();
    let mut headers = OwnedHeaders::new_with_capacity(NAMES.len() + 1);
    let mut names = NAMES.iter().chain([&FRAME_HASH]);
    let mut put = |value: &str| {
        if let Some(key) = names.next() {
            let empty = OwnedHeaders::new_with_capacity(0);
            headers = std::mem::replace(&mut headers, empty).insert(Header { key, value: Some(value) });
        }
    };
    let mut buffer = Uuid::encode_buffer();
    put(SPEC_VERSION);
    put(event.id.hyphenated().encode_lower(&mut buffer));
    put(source);
    put(&event.event_type);
    put(&wire_time(event.time));
    put(&key);
    put(CONTENT_TYPE);
    put(stream.tenant());
    put(stream.kind());
    put(stream.id());
    put(&event.version.to_string());
    put(&event.position.to_string());
    put(&frame.number.to_string());
    put(&event.schema_version.to_string());
    put(event.correlation_id.hyphenated().encode_lower(&mut buffer));
    put(event.causation_id.hyphenated().encode_lower(&mut buffer));
    put(&event.actor);
    put(&key);
    put(&hex::encode(frame.hash));
    (key, headers)
}

/// Why a record is not an event of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    #[error("the header {0} is missing, comes twice or can't be read")]
    Header(&'static str),
    #[error("the header {0} contradicts the rest of the record")]
    Contradiction(&'static str),
    #[error("the key is not the stream")]
    Key,
    #[error("the value is no text")]
    Value,
    #[error("it belongs to another store")]
    Store,
}

/// An event as it was read from the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) event: RecordedEvent,
    /// The number of the frame that holds it.
    pub(super) frame: u64,
    /// The frame's hash, where the record tells it.
    pub(super) hash: Option<Hash>,
}

/// Reads a record of a partition of the store's topic; strict, since anybody may write to a topic.
pub(super) fn decode<M: Message>(message: &M, store: &StoreInfo, source: &str) -> Result<Record, Foreign> {
    let fields = Fields::of(message)?;
    fields.expect(0, SPEC_VERSION)?;
    fields.expect(6, CONTENT_TYPE)?;
    if fields.0[2] != source {
        return Err(Foreign::Store);
    }
    let time: Timestamp =
        chrono::DateTime::parse_from_rfc3339(fields.0[4]).map_err(|_| Foreign::Header(NAMES[4]))?.to_utc();
    fields.expect(4, &wire_time(time))?;
    let stream = StreamId::new(fields.0[7], fields.0[8], fields.0[9]);
    let key = stream.to_string();
    fields.expect(5, &key)?;
    fields.expect(17, &key)?;
    if message.key() != Some(key.as_bytes()) {
        return Err(Foreign::Key);
    }
    let position: Position = fields.0[11].parse().map_err(|_| Foreign::Header(NAMES[11]))?;
    let shard = stream.shard(store.shards);
    if position.shard != shard || i32::from(shard.0) != message.partition() || position.n == 0 {
        return Err(Foreign::Contradiction(NAMES[11]));
    }
    let data = message.payload().and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(Foreign::Value)?;
    let event = RecordedEvent {
        id: fields.uuid(1)?,
        time,
        stream,
        version: fields.number(10)?,
        position,
        event_type: fields.0[3].to_owned(),
        schema_version: u16::try_from(fields.number(13)?).map_err(|_| Foreign::Header(NAMES[13]))?,
        correlation_id: fields.uuid(14)?,
        causation_id: fields.uuid(15)?,
        actor: fields.0[16].to_owned(),
        data: data.to_owned(),
    };
    Ok(Record { event, frame: fields.number(12)?, hash: frame_hash(message)? })
}

fn frame_hash<M: Message>(message: &M) -> Result<Option<Hash>, Foreign> {
    let Some(headers) = message.headers() else { return Ok(None) };
    let mut stated = headers.iter().filter(|header| header.key == FRAME_HASH);
    let Some(first) = stated.next() else { return Ok(None) };
    let hash = first.value.and_then(|value| Hash::from_hex(value).ok());
    match (hash, stated.next()) {
        (Some(hash), None) => Ok(Some(hash)),
        _ => Err(Foreign::Header(FRAME_HASH)),
    }
}

/// The position that a record of this source states, without looking at the rest; for records that are not needed.
pub(super) fn position<M: Message>(message: &M, source: &str) -> Option<Position> {
    let headers = message.headers()?;
    let stated = |at: usize| headers.iter().find(|header| header.key == NAMES[at])?.value;
    if stated(2)? != source.as_bytes() {
        return None;
    }
    let position: Position = std::str::from_utf8(stated(11)?).ok()?.parse().ok()?;
    (position.shard == Shard(u16::try_from(message.partition()).ok()?)).then_some(position)
}

/// The values of [`NAMES`].
struct Fields<'a>([&'a str; NAMES.len()]);

impl<'a> Fields<'a> {
    fn of<M: Message>(message: &'a M) -> Result<Self, Foreign> {
        let mut found: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        let headers = message.headers().ok_or(Foreign::Header(NAMES[0]))?;
        for (at, header) in headers.iter().enumerate() {
            // In this order, unless somebody else wrote the record. Headers that others add are no concern of ours.
            let expected = NAMES.get(at).filter(|name| **name == header.key).map(|_| at);
            let Some(field) = expected.or_else(|| NAMES.iter().position(|name| *name == header.key)) else {
                continue;
            };
            let value = header.value.and_then(|bytes| std::str::from_utf8(bytes).ok());
            if found[field].replace(value.ok_or(Foreign::Header(NAMES[field]))?).is_some() {
                return Err(Foreign::Header(NAMES[field]));
            }
        }
        let mut values = [""; NAMES.len()];
        for ((value, found), name) in values.iter_mut().zip(found).zip(NAMES) {
            *value = found.ok_or(Foreign::Header(name))?;
        }
        Ok(Self(values))
    }

    fn expect(&self, field: usize, value: &str) -> Result<(), Foreign> {
        if self.0[field] == value { Ok(()) } else { Err(Foreign::Contradiction(NAMES[field])) }
    }

    fn number(&self, field: usize) -> Result<u64, Foreign> {
        let text = self.0[field];
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let number = canonical.then(|| text.parse().ok()).flatten();
        number.ok_or(Foreign::Header(NAMES[field]))
    }

    fn uuid(&self, field: usize) -> Result<Uuid, Foreign> {
        let id = Uuid::try_parse(self.0[field]).map_err(|_| Foreign::Header(NAMES[field]))?;
        self.expect(field, id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{OwnedMessage, Timestamp as Stamp};

    use super::*;

    const FRAME: FrameId = FrameId { number: 9, hash: [0xab; 32] };
    const STORE: StoreInfo = StoreInfo { id: Uuid::from_u128(7), shards: 4 };

    fn event() -> RecordedEvent {
        let stream = StreamId::new("default", "order", "018f3a00-0000-7000-8000-00000000002a");
        RecordedEvent {
            id: Uuid::from_u128(1),
            time: Timestamp::from_timestamp_micros(1_700_000_000_000_120).unwrap(),
            version: 3,
            position: Position { shard: stream.shard(4), n: 41 },
            stream,
            event_type: "order.placed".to_owned(),
            schema_version: 2,
            correlation_id: Uuid::from_u128(2),
            causation_id: Uuid::from_u128(3),
            actor: "user:ü".to_owned(),
            data: "{\"a\": 1.0}".to_owned(),
        }
    }

    fn message(event: &RecordedEvent, change: impl Fn(&str, &str) -> Option<String>) -> OwnedMessage {
        let (key, headers) = encode(event, &FRAME, &source(STORE.id));
        let mut changed = OwnedHeaders::new();
        for header in headers.iter() {
            let value = std::str::from_utf8(header.value.unwrap()).unwrap();
            if let Some(value) = change(header.key, value) {
                changed = changed.insert(Header { key: header.key, value: Some(&value) });
            }
        }
        let payload = Some(event.data.clone().into_bytes());
        let partition = i32::from(event.position.shard.0);
        let stamp = Stamp::NotAvailable;
        OwnedMessage::new(payload, Some(key.into_bytes()), "t".to_owned(), stamp, partition, 0, Some(changed))
    }

    // proves: P5
    #[test]
    fn a_record_gives_back_the_stored_bytes_of_its_event() {
        let record =
            decode(&message(&event(), |_, value| Some(value.to_owned())), &STORE, &source(STORE.id)).unwrap();
        assert_eq!((record.event.encode(), record.event, record.frame), (event().encode(), event(), 9));
        assert_eq!(record.hash, Some([0xab; 32]));
    }

    /// What other systems rely on.
    #[test]
    fn the_headers_are_those_of_a_cloud_event() {
        let (key, headers) = encode(&event(), &FRAME, &source(STORE.id));
        let stream = "default/order/018f3a00-0000-7000-8000-00000000002a";
        let written: Vec<(&str, &str)> =
            headers.iter().map(|h| (h.key, std::str::from_utf8(h.value.unwrap()).unwrap())).collect();
        assert_eq!(key, stream);
        assert_eq!(
            written,
            [
                ("ce_specversion", "1.0"),
                ("ce_id", "00000000-0000-0000-0000-000000000001"),
                ("ce_source", "/tillstream/00000000-0000-0000-0000-000000000007"),
                ("ce_type", "order.placed"),
                ("ce_time", "2023-11-14T22:13:20.000120Z"),
                ("ce_subject", stream),
                ("content-type", "application/json"),
                ("ce_tenant", "default"),
                ("ce_streamtype", "order"),
                ("ce_streamid", "018f3a00-0000-7000-8000-00000000002a"),
                ("ce_streamversion", "3"),
                ("ce_position", &event().position.to_string()),
                ("ce_frame", "9"),
                ("ce_schemaversion", "2"),
                ("ce_correlationid", "00000000-0000-0000-0000-000000000002"),
                ("ce_causationid", "00000000-0000-0000-0000-000000000003"),
                ("ce_actor", "user:ü"),
                ("ce_partitionkey", stream),
                ("ce_framehash", &"ab".repeat(32)),
            ]
        );
    }

    // proves: EVT-7
    #[test]
    fn a_record_of_an_older_program_tells_no_hash_and_a_hash_that_is_none_is_foreign() {
        let old = message(&event(), |key, value| (key != FRAME_HASH).then(|| value.to_owned()));
        assert_eq!(decode(&old, &STORE, &source(STORE.id)).unwrap().hash, None);
        for wrong in ["", "ab", "zz"] {
            let changed = message(&event(), |key, value| {
                Some(if key == FRAME_HASH { wrong.to_owned() } else { value.to_owned() })
            });
            assert_eq!(decode(&changed, &STORE, &source(STORE.id)), Err(Foreign::Header(FRAME_HASH)));
        }
    }

    #[test]
    fn a_record_with_any_header_missing_or_changed_is_foreign() {
        for name in NAMES {
            let without = message(&event(), |key, value| (key != name).then(|| value.to_owned()));
            assert!(decode(&without, &STORE, &source(STORE.id)).is_err(), "{name} missing");
            let changed = message(&event(), |key, value| {
                Some(if key == name { format!("{value}\u{0}") } else { value.to_owned() })
            });
            let read = decode(&changed, &STORE, &source(STORE.id));
            // These two are free text, which nothing in the record can contradict.
            let free = ["ce_type", "ce_actor"].contains(&name);
            assert_eq!(read.is_ok(), free, "{name} changed: {read:?}");
        }
    }
}
