//! How the old events of the shop and of its sagas are read today.

use std::sync::LazyLock;

use domain::upcast::{Upcaster, Upcasters};
use domain::upcasters::STEPS;
use serde_json::Value;

/// The sagas' own steps.
const OWN: &[(&str, u16, Upcaster)] = &[
    ("fulfilment.started", 1, started_1),
    ("fulfilment.started", 2, unchanged),
    ("fulfilment.step_requested", 1, unchanged),
    ("fulfilment.step_finished", 1, unchanged),
    ("fulfilment.step_finished", 2, unchanged),
    ("fulfilment.signal_received", 1, unchanged),
    ("fulfilment.signal_received", 2, unchanged),
    ("fulfilment.deadline_reached", 1, unchanged),
    ("fulfilment.retried", 1, unchanged),
    ("fulfilment.resolved", 1, unchanged),
];

/// The upcaster chain of an application with sagas.
pub fn chain() -> &'static Upcasters {
    static CHAIN: LazyLock<Upcasters> = LazyLock::new(|| Upcasters::new(&[STEPS, OWN].concat()));
    &CHAIN
}

/// The shape is the same: only what may stand in it has grown.
fn unchanged(payload: Value) -> Value {
    payload
}

/// Version 1 had no bounds for bookings and for cancelling; the saga goes on with those that were the first to be set by default.
fn started_1(mut payload: Value) -> Value {
    if let Some(terms) = payload.get_mut("terms").and_then(Value::as_object_mut) {
        terms.entry("booking_ms").or_insert(30_000.into());
        terms.entry("patience_ms").or_insert(5_000.into());
    }
    payload
}
