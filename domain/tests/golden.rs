//! The stored form of every event of the shop, as golden files, and the real upcasts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use domain::aggregate::{Aggregate, EventSet, Registry};
use domain::catalogue::product::{Product, ProductEvent};
use domain::money::{Currency, Money};
use domain::payments::payment::{PaymentEvent, RefundReason};
use domain::upcast::EventType;
use domain::{identity, ordering, payments, shipping};

/// The aggregates of all contexts.
fn registry() -> Registry {
    domain::aggregates(Registry::default())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn stored(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// One payload for each schema version that was ever written, exactly as the log keeps it. Such a file is never changed: the log holds its
/// like for ever.
// proves: EVT-1, EVT-2
#[test]
fn every_event_ever_stored_has_a_golden_file_that_still_reads() {
    let registry = registry();
    let mut checked = BTreeSet::new();
    for EventType { name: event_type, version: current, .. } in registry.event_types() {
        let today = |version, data: &str| {
            let written = registry.rewritten(event_type, version, data);
            let written = written.unwrap_or_else(|error| panic!("{event_type} {version}: {error}"));
            assert_eq!((&*written.event_type, written.schema_version), (event_type, current));
            written.data
        };
        for version in 1..=current {
            let name = format!("{event_type}.v{version}.json");
            let text = stored(&name);
            let written = today(version, text.trim_end());
            if version == current {
                assert_eq!(written, text.trim_end(), "{name}");
            }
            assert_eq!(today(current, &written), written, "{name}");
            checked.insert(name);
        }
    }
    let files = std::fs::read_dir(folder()).expect("the folder of golden files");
    let files = files.map(|entry| entry.expect("a file").file_name().into_string().expect("a name"));
    let files: BTreeSet<String> = files.filter(|name| name.ends_with(".json")).collect();
    assert_eq!(files, checked, "a golden file without an event, or the other way round");
}

#[test]
fn a_product_of_version_1_gets_a_price_in_money_and_no_attributes() {
    let old = stored("product.created.v1.json");
    let event = ProductEvent::read("product.created", 1, &old).unwrap();
    let ProductEvent::Created(created) = &event else { panic!("{event:?}") };
    assert_eq!(created.price, Money::new(1999, Currency::Usd));
    assert_eq!(created.details.sku, "MUG-1");
    assert!(created.details.attributes.is_empty());

    // A stream that begins with it loads like any other.
    let mut state = registry().initial("product").unwrap();
    state.apply("product.created", 1, &old).unwrap();
    let mut expected = Product::default();
    expected.evolve(&event);
    assert_eq!(state.as_any().downcast_ref::<Product>(), Some(&expected));
}

// proves: EVT-2, SEC-6
#[test]
fn a_refund_of_version_1_keeps_its_reason_in_the_clear_and_version_2_seals_it() {
    let reason = |version| {
        let text = stored(&format!("payment.refunded.v{version}.json"));
        match PaymentEvent::read("payment.refunded", version, &text).unwrap() {
            PaymentEvent::Refunded(refunded) => refunded.reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(reason(1) == RefundReason::Plain("one was broken".into()));
    assert!(matches!(reason(2), RefundReason::Sealed(sealed) if sealed.as_text() == "v1.cmVhc29u"));
}

#[test]
fn what_cannot_be_read_leaves_the_state_as_it_was() {
    let mut state = registry().initial("product").unwrap();
    state.apply("product.created", 2, &stored("product.created.v2.json")).unwrap();
    let before = state.to_json().unwrap();
    for (event_type, version, data) in [
        ("product.created", 3, "{}"),
        ("product.created", 2, "{"),
        ("product.price_changed", 1, r#"{"price":"free"}"#),
        ("order.completed", 1, "{}"),
    ] {
        assert!(state.apply(event_type, version, data).is_err(), "{event_type} {version}");
        assert_eq!(state.to_json().unwrap(), before);
    }
}

macro_rules! names_are_those_of_serde {
    ($($type:ty),+) => {$(
        for value in <$type>::ALL {
            assert_eq!(serde_json::to_value(value).unwrap(), serde_json::Value::from(value.as_str()));
            assert_eq!(value.as_str().parse(), Ok(value));
        }
        assert!("nothing".parse::<$type>().is_err());
    )+};
}

// proves: EVT-1
#[test]
fn the_names_of_plain_enums_are_those_of_stored_events() {
    names_are_those_of_serde!(
        ordering::order::OrderStatus,
        ordering::order::EndReason,
        payments::payment::PaymentStatus,
        payments::payment::DeclineReason,
        shipping::shipment::ShipmentStatus,
        identity::user::Role
    );
}
