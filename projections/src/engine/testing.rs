//! Events for the tests of the mappings.

use domain::Timestamp;
use domain::aggregate::EventSet;
use domain::event::RecordedEvent;
use domain::money::{Currency, Money};
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use uuid::Uuid;

use crate::engine::rows::{RowChange, Value};

/// The id of everything here.
pub(crate) const ID: Uuid = Uuid::from_u128(7);

/// When everything here happens.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_timestamp_micros(1_700_000_000_000_000).unwrap()
}

pub(crate) fn usd(cents: i64) -> Money {
    Money::new(cents, Currency::Usd)
}

/// An event of the stream `kind`/[`ID`] at a version.
pub(crate) fn event(kind: &str, version: u64, event: &impl EventSet) -> RecordedEvent {
    stored(kind, version, event.dotted_type(), event.schema_version(), &event.encode())
}

/// The same as it may stand in the log, whatever it is.
pub(crate) fn stored(
    kind: &str,
    version: u64,
    event_type: &str,
    schema_version: u16,
    data: &str,
) -> RecordedEvent {
    RecordedEvent {
        id: Uuid::from_u128(u128::from(version)),
        time: now(),
        stream: StreamId::new("default", kind, ID),
        version,
        position: Position { shard: Shard(3), n: 40 + version },
        event_type: event_type.to_owned(),
        schema_version,
        correlation_id: ID,
        causation_id: ID,
        actor: "user:me".to_owned(),
        data: data.to_owned(),
    }
}

/// The value that a change sets; `None` when it leaves the column alone.
pub(crate) fn set<'a>(change: &'a RowChange, column: &str) -> Option<&'a Value> {
    // Every column that is set is one of the change's group.
    let group = change.table.groups.iter().find(|group| group.name == change.group).unwrap();
    assert!(change.set.iter().all(|(name, _)| group.columns.iter().any(|c| c.name == *name)));
    change.set.iter().find(|(name, _)| *name == column).map(|(_, value)| value)
}

pub(crate) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}
