//! Upcasters: old events are immutable, so reading them brings their payload to today's shape, one version at a time.

use std::collections::HashMap;

use serde_json::Value;

use crate::aggregate::EventSet;

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

/// The chain of upcasters: (dotted type, from version) → step to the next version.
pub struct Upcasters {
    steps: HashMap<(&'static str, u16), Upcaster>,
}

impl Upcasters {
    /// A chain of the given steps.
    #[must_use]
    pub fn new(steps: &[(&'static str, u16, Upcaster)]) -> Self {
        Self { steps: steps.iter().map(|(name, from, step)| ((*name, *from), *step)).collect() }
    }

    /// Decodes a stored payload of any version up to the current one.
    ///
    /// # Errors
    /// An unknown type, a version from the future, a missing step, or a payload without the type's shape.
    pub fn decode<E: EventSet>(
        &self,
        event_type: &str,
        schema_version: u16,
        data: &str,
    ) -> Result<E, DecodeError> {
        let Some((name, current)) = E::TYPES.iter().find(|(name, _)| *name == event_type) else {
            return Err(DecodeError::unknown_type(event_type));
        };
        if schema_version == *current {
            return E::decode(event_type, data);
        }
        if schema_version > *current {
            let reason = format!("schema version {schema_version} is newer than this program's {current}");
            return Err(DecodeError { event_type: event_type.to_owned(), reason });
        }
        let mut value = serde_json::from_str(data).map_err(|e| DecodeError::shape(event_type, &e))?;
        for version in schema_version..*current {
            let step = self.steps.get(&(*name, version)).ok_or_else(|| DecodeError {
                event_type: event_type.to_owned(),
                reason: format!("no upcaster from schema version {version}"),
            })?;
            value = step(value);
        }
        E::decode(event_type, &value.to_string())
    }
}
