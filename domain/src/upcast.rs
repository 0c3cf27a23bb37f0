//! Upcasters: old events are immutable, so reading them brings their payload to today's shape, one version at a time.

use serde_json::Value;

/// Why a stored event can't be read by today's code: deterministic, so retrying doesn't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event_type}: {reason}")]
pub struct DecodeError {
    /// The dotted type.
    pub event_type: String,
    /// What doesn't fit.
    pub reason: String,
}

impl DecodeError {
    /// No aggregate has this type.
    #[must_use]
    pub fn unknown_type(event_type: &str) -> Self {
        Self { event_type: event_type.to_owned(), reason: "unknown event type".to_owned() }
    }

    /// The payload doesn't have the type's shape.
    #[must_use]
    pub fn shape(event_type: &str, error: &serde_json::Error) -> Self {
        // serde_json's message names the field and place, never more of the payload than one token.
        Self {
            event_type: event_type.to_owned(),
            reason: format!("payload doesn't have the type's shape: {error}"),
        }
    }
}

/// Brings a payload from one schema version to the next.
pub type Upcaster = fn(Value) -> Value;

/// The shape is the same: only what may stand in it has grown.
#[must_use]
pub fn unchanged(payload: Value) -> Value {
    payload
}

/// An event type, and how what was stored of it is read.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    /// The dotted type, `order.placed`.
    pub name: &'static str,
    /// The current schema version.
    pub version: u16,
    /// The steps from version 1 to the current one, in order.
    upcasters: &'static [Upcaster],
}

impl EventType {
    /// A type of this version, with a step from each of the versions before.
    ///
    /// # Panics
    /// When a step is missing or left over; [`events!`](crate::events) calls this while compiling.
    #[must_use]
    pub const fn new(name: &'static str, version: u16, upcasters: &'static [Upcaster]) -> Self {
        assert!(
            upcasters.len() + 1 == version as usize,
            "an event type has one upcaster for each version before its own"
        );
        Self { name, version, upcasters }
    }

    /// Brings a stored payload to today's shape; `None` when it has it already.
    ///
    /// # Errors
    /// A version that never was or is still to come, or a payload that is no JSON.
    pub fn upcast(&self, schema_version: u16, data: &str) -> Result<Option<String>, DecodeError> {
        if schema_version == self.version {
            return Ok(None);
        }
        if !(1..self.version).contains(&schema_version) {
            let reason = match schema_version {
                0 => "no schema version is 0".to_owned(),
                _ => format!("schema version {schema_version} is newer than this program's {}", self.version),
            };
            return Err(DecodeError { event_type: self.name.to_owned(), reason });
        }
        let payload: Value = serde_json::from_str(data).map_err(|e| DecodeError::shape(self.name, &e))?;
        let steps = &self.upcasters[usize::from(schema_version) - 1..];
        Ok(Some(steps.iter().fold(payload, |payload, step| step(payload)).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENAMED: EventType = EventType::new("note.written", 3, &[unchanged, |_| Value::from("third")]);

    #[test]
    fn each_step_is_taken_from_the_stored_version_on() {
        for version in [1, 2] {
            assert_eq!(RENAMED.upcast(version, "{}").unwrap().as_deref(), Some("\"third\""));
        }
        assert_eq!(RENAMED.upcast(3, "no matter what"), Ok(None));
    }

    #[test]
    fn versions_that_never_were_and_payloads_that_are_no_json_are_refused() {
        for version in [0, 4, u16::MAX] {
            assert!(RENAMED.upcast(version, "{}").is_err(), "{version}");
        }
        assert!(RENAMED.upcast(1, "{").is_err());
    }
}
