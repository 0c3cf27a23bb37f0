//! Golden files: every persisted version of every event of the sagas, read by today's code.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use domain::aggregate::{DecisionContext, EventSet};
use domain::stream::StreamId;
use domain::upcast::EventType;
use sagas::fulfilment::action::Outcome;
use sagas::fulfilment::events::FulfilmentEvent;
use sagas::fulfilment::steps::StepName;
use sagas::fulfilment::{FulfilmentCommand, Trigger};
use serde_json::Value;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// (dotted type, schema version, payload) of every file, by name `<type>.v<version>[-<case>].json`.
fn files() -> Vec<(String, u16, String)> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (dotted, version) = name.rsplit_once(".v").unwrap();
        let version = version.split('-').next().unwrap().parse().unwrap();
        (dotted.to_owned(), version, std::fs::read_to_string(&path).unwrap())
    };
    std::fs::read_dir(directory()).unwrap().map(read).collect()
}

// proves: EVT-2
#[test]
fn every_event_has_a_golden_file_of_its_current_version() {
    let found: BTreeSet<_> = files().into_iter().map(|(dotted, version, _)| (dotted, version)).collect();
    for EventType { name, version, .. } in FulfilmentEvent::TYPES {
        assert!(found.contains(&((*name).to_owned(), *version)), "{name}.v{version}.json is missing");
    }
}

// proves: EVT-2
#[test]
fn golden_files_are_read_and_written_as_they_stand() {
    let files = files();
    assert!(!files.is_empty());
    for (dotted, version, text) in files {
        let event = FulfilmentEvent::read(&dotted, version, &text)
            .unwrap_or_else(|error| panic!("{dotted}.v{version}: {error}"));
        if version == event.schema_version() {
            let (stored, written): (Value, Value) =
                (serde_json::from_str(&text).unwrap(), serde_json::from_str(&event.encode()).unwrap());
            assert_eq!(written, stored, "{dotted}.v{version}");
        }
    }
}

/// A saga that a program of before began goes on with its terms.
// proves: EVT-2
#[test]
fn a_saga_of_version_1_gets_bounds_for_bookings_and_cancelling() {
    let old = std::fs::read_to_string(directory().join("fulfilment.started.v1.json")).unwrap();
    let event = FulfilmentEvent::read("fulfilment.started", 1, &old).unwrap();
    let FulfilmentEvent::Started(started) = event else { panic!("{event:?}") };
    assert_eq!((started.terms.booking_ms, started.terms.patience_ms), (30_000, 5_000));
}

/// What yesterday's program had decided is gone on with today.
// proves: EVT-2, SAG-1
#[test]
fn a_saga_that_an_older_program_began_goes_on() {
    let stored = |name: &str| std::fs::read_to_string(directory().join(name)).unwrap();
    let mut saga = sagas::registry().initial("fulfilment").unwrap();
    for (kind, file) in [
        ("started", "fulfilment.started.v1.json"),
        ("deadline_set", "fulfilment.deadline_set.v1.json"),
        ("step_requested", "fulfilment.step_requested.v1.json"),
    ] {
        saga.apply(&format!("fulfilment.{kind}"), 1, &stored(file)).unwrap();
    }
    let outcome = Outcome::Accepted;
    let trigger = Trigger::StepFinished { step: StepName::Reserve(1), attempt: 1, outcome };
    let context = DecisionContext {
        stream: StreamId::new("default", "fulfilment", "01950000-0000-7000-8000-000000000001"),
        now: domain::Timestamp::from_timestamp(1_735_689_600, 0).unwrap(),
        version: 3,
    };
    let decided = saga.decide(&FulfilmentCommand::Handle(trigger), &context).unwrap();
    let told: Vec<_> =
        decided.events.iter().map(|event| (event.event_type.to_string(), event.schema_version)).collect();
    let expected = [("fulfilment.step_finished".to_owned(), 3), ("fulfilment.step_requested".to_owned(), 2)];
    assert!(told.ends_with(&expected), "{told:?}");
}

/// Every action and every outcome is stored as data, so each has a golden file too.
#[test]
fn every_action_and_outcome_has_a_golden_file() {
    let mut seen = BTreeSet::new();
    for (dotted, _, text) in files() {
        let value: Value = serde_json::from_str(&text).unwrap();
        let part = match dotted.as_str() {
            "fulfilment.step_requested" => &value["action"],
            "fulfilment.step_finished" => &value["outcome"],
            _ => continue,
        };
        let tag = |v: &Value| match v {
            Value::String(tag) => tag.clone(),
            Value::Object(fields) => fields.keys().next().unwrap().clone(),
            _ => panic!("{v}"),
        };
        let mut name = tag(part);
        if name == "charge" && dotted == "fulfilment.step_finished" {
            name = format!("charge {}", tag(&part["charge"]));
        }
        seen.insert(name);
    }
    let expected = [
        "reserve",
        "release",
        "withdraw",
        "commit",
        "confirm_stock",
        "initiate_payment",
        "charge",
        "lookup",
        "void",
        "record_authorized",
        "record_captured",
        "record_declined",
        "record_unknown",
        "record_voided",
        "mark_payment_unknown",
        "refund_payment",
        "resolve_refund",
        "fail_refund",
        "request_shipment",
        "book_carrier",
        "record_shipment_created",
        "record_shipment_failed",
        "confirm_payment",
        "cancel_shipment",
        "cancel_carrier",
        "mark_shipped",
        "mark_delivered",
        "complete",
        "reject",
        "cancel",
        "refuse_cancellation",
        "accepted",
        "refused",
        "charge unknown",
        "charge not_found",
        "charge authorized",
        "charge declined",
        "charge refused",
        "charge voided",
        "charge captured",
        "booked",
        "booking_refused",
        "nothing_to_refund",
        "call_refused",
    ];
    let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
    assert_eq!(seen, expected);
}
