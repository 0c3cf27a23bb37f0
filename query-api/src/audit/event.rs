//! An event's shape in the OpenAPI document. `RecordedEvent` writes it.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;
use uuid::Uuid;

/// An event with its envelope.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "documents what RecordedEvent serialises to")]
pub(crate) struct EventDoc {
    /// UUIDv7, unique.
    id: Uuid,
    /// The dotted type.
    #[schema(rename = "type", example = "order.placed")]
    kind: String,
    /// The version of the shape of `data`.
    schema_version: u16,
    /// When it was decided.
    time: DateTime<Utc>,
    /// The tenant.
    tenant: String,
    /// The stream it belongs to.
    #[schema(inline)]
    stream: StreamDoc,
    /// Its place in the stream, from 1.
    version: u64,
    /// Its place in the log, `shard:n`.
    #[schema(example = "3:1042")]
    position: String,
    /// One id runs through everything that a first command set off.
    correlation_id: Uuid,
    /// The id of the command that caused it.
    causation_id: Uuid,
    /// Who acted.
    #[schema(example = "saga:fulfilment")]
    actor: String,
    /// The payload, as decided; personal fields are ciphertext.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    data: serde_json::Value,
}

/// The stream that an event belongs to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what RecordedEvent serialises to")]
pub(crate) struct StreamDoc {
    /// The aggregate type.
    #[schema(rename = "type", example = "order")]
    kind: String,
    /// The aggregate's id.
    id: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use domain::event::RecordedEvent;
    use domain::position::{Position, Shard};
    use domain::stream::StreamId;
    use utoipa::PartialSchema;

    use super::*;

    /// A product's event, decided `second` seconds after 1970.
    pub(crate) fn event(version: u64, second: i64, event_type: &str, data: &str) -> RecordedEvent {
        RecordedEvent {
            id: Uuid::from_u128(u128::from(version)),
            time: DateTime::from_timestamp(second, 0).unwrap(),
            stream: StreamId::new("default", "product", "p1"),
            version,
            position: Position { shard: Shard(3), n: version * 10 },
            event_type: event_type.to_owned(),
            schema_version: 1,
            correlation_id: Uuid::nil(),
            causation_id: Uuid::nil(),
            actor: "user:1".to_owned(),
            data: data.to_owned(),
        }
    }

    // proves: EVT-1
    #[test]
    fn the_documented_shape_is_the_one_that_is_written() {
        let schema = serde_json::to_value(EventDoc::schema()).unwrap();
        let written = serde_json::to_value(event(1, 0, "product.discontinued", "{}")).unwrap();
        let keys = |value: &serde_json::Value| {
            let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(&schema["properties"]), keys(&written));
        assert!(written.as_object().unwrap().values().all(|value| !value.is_null()));
    }
}
