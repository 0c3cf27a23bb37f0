use proptest::prelude::*;

use super::*;
use crate::testing::{Properties, answer_of, given, id, sealed};

fn address() -> ShippingAddress {
    ShippingAddress {
        name: sealed("name"),
        line1: sealed("line1"),
        city: sealed("city"),
        postal_code: sealed("code"),
        country: "NL".into(),
    }
}

fn request(order: u8, key: &str) -> ShipmentCommand {
    ShipmentCommand::Request {
        order_id: id(order),
        customer_id: id(2),
        address: address(),
        carrier_key: key.into(),
    }
}

fn created(reference: &str) -> ShipmentCommand {
    ShipmentCommand::RecordCreated { carrier_reference: reference.into() }
}

fn failed() -> ShipmentCommand {
    ShipmentCommand::RecordFailed { reason: "no route".into() }
}

fn event(status: ShipmentStatus) -> ShipmentEvent {
    let order_id = id(1);
    match status {
        ShipmentStatus::Requested => ShipmentEvent::Requested(ShipmentRequested {
            order_id,
            customer_id: id(2),
            address: address(),
            carrier_key: "k".into(),
        }),
        ShipmentStatus::Created => {
            ShipmentEvent::Created(ShipmentCreated { order_id, carrier_reference: "r".into() })
        }
        ShipmentStatus::Failed => {
            ShipmentEvent::Failed(ShipmentFailed { order_id, reason: "no route".into() })
        }
        ShipmentStatus::Cancelled => ShipmentEvent::Cancelled(ShipmentCancelled { order_id }),
        ShipmentStatus::Dispatched => ShipmentEvent::Dispatched(ShipmentDispatched { order_id }),
        ShipmentStatus::Delivered => ShipmentEvent::Delivered(ShipmentDelivered { order_id }),
    }
}

/// The shortest history that leads to a status.
fn history(status: ShipmentStatus) -> Vec<ShipmentEvent> {
    use ShipmentStatus::{Cancelled, Created, Delivered, Dispatched, Failed, Requested};
    let path: &[ShipmentStatus] = match status {
        Requested => &[Requested],
        Created => &[Requested, Created],
        Failed => &[Requested, Failed],
        Cancelled => &[Requested, Cancelled],
        Dispatched => &[Requested, Created, Dispatched],
        Delivered => &[Requested, Created, Dispatched, Delivered],
    };
    path.iter().copied().map(event).collect()
}

// proves: SHP-1
#[test]
fn every_command_in_every_status() {
    use ShipmentStatus::{Cancelled, Created, Delivered, Dispatched, Failed, Requested};
    const LEFT: ShipmentError = ShipmentError::Dispatched;
    let no = |from, to| Err(ShipmentError::IllegalTransition { from, to });
    let becomes = |status| Ok(vec![event(status)]);
    let same = || Ok(vec![]);
    let steps = || {
        [created("r"), failed(), ShipmentCommand::Cancel, ShipmentCommand::Dispatch, ShipmentCommand::Deliver]
    };
    // Columns: the commands above, in that order.
    let table = [
        (
            Requested,
            [
                becomes(Created),
                becomes(Failed),
                becomes(Cancelled),
                no(Requested, Dispatched),
                no(Requested, Delivered),
            ],
        ),
        (
            Created,
            [same(), no(Created, Failed), becomes(Cancelled), becomes(Dispatched), no(Created, Delivered)],
        ),
        (Failed, [no(Failed, Created), same(), same(), no(Failed, Dispatched), no(Failed, Delivered)]),
        (
            Cancelled,
            [
                no(Cancelled, Created),
                no(Cancelled, Failed),
                same(),
                no(Cancelled, Dispatched),
                no(Cancelled, Delivered),
            ],
        ),
        (Dispatched, [same(), no(Dispatched, Failed), Err(LEFT), same(), becomes(Delivered)]),
        (Delivered, [same(), no(Delivered, Failed), Err(LEFT), same(), same()]),
    ];
    for (status, expected) in table {
        for (command, expected) in steps().into_iter().zip(expected) {
            let what = format!("{command:?} when {status}");
            assert_eq!(
                given::<Shipment>(&history(status)).when(command).inspect_result(),
                expected,
                "{what}"
            );
        }
    }
    for command in steps() {
        given::<Shipment>(&[]).when(command).then_expect_error(ShipmentError::NotFound);
    }
}

#[test]
fn a_request_repeats_only_as_itself() {
    given::<Shipment>(&[]).when(request(1, "k")).then_expect_events(history(ShipmentStatus::Requested));
    for status in ShipmentStatus::ALL {
        given::<Shipment>(&history(status)).when(request(1, "k")).then_expect_events(vec![]);
        given::<Shipment>(&history(status)).when(request(1, "x")).then_expect_error(ShipmentError::Exists);
        given::<Shipment>(&history(status)).when(request(3, "k")).then_expect_error(ShipmentError::Exists);
    }
}

#[test]
fn a_second_booking_does_not_pass_for_the_first() {
    for status in [ShipmentStatus::Created, ShipmentStatus::Dispatched, ShipmentStatus::Delivered] {
        given::<Shipment>(&history(status))
            .when(created("x"))
            .then_expect_error(ShipmentError::OtherReference);
    }
    let mut late = history(ShipmentStatus::Created);
    late.push(event(ShipmentStatus::Cancelled));
    given::<Shipment>(&late).when(created("r")).then_expect_events(vec![]);
}

#[test]
fn codes_and_kinds_are_stable() {
    let said = |error: ShipmentError| (error.code(), error.kind());
    assert_eq!(said(ShipmentError::Dispatched), ("shipment-dispatched", RefusalKind::Conflict));
    assert_eq!(said(ShipmentError::NotFound), ("shipment-not-found", RefusalKind::NotFound));
    assert_eq!(said(ShipmentError::Exists), ("shipment-exists", RefusalKind::Conflict));
}

// proves: SHP-1
#[test]
fn the_answer_has_no_address() {
    assert_eq!(answer_of::<Shipment>(&[]), None);
    let answer = answer_of::<Shipment>(&history(ShipmentStatus::Dispatched)).unwrap();
    insta::assert_json_snapshot!(answer, @r#"
    {
      "carrier_reference": "r",
      "created_at": "2025-01-01T00:00:00.000000Z",
      "id": "01950000-0000-7000-8000-0000000000aa",
      "order_id": "01950000-0000-7000-8000-000000000001",
      "status": "dispatched",
      "updated_at": "2025-01-01T00:01:00.000000Z",
      "version": 3
    }
    "#);
}

fn command() -> impl Strategy<Value = ShipmentCommand> {
    prop_oneof![
        2 => (1..3_u8).prop_map(|order| request(order, "k")),
        3 => prop::sample::select(vec!["r", "x"]).prop_map(created),
        1 => Just(failed()),
        1 => Just(ShipmentCommand::Cancel),
        2 => Just(ShipmentCommand::Dispatch),
        2 => Just(ShipmentCommand::Deliver),
    ]
}

proptest! {
    // proves: SHP-1
    #[test]
    fn any_sequence_replays_and_what_left_was_booked(
        commands in prop::collection::vec((0..9_u8, command()), 0..30)
    ) {
        let invariant = |shipment: &Shipment| {
            let left = matches!(shipment.status, ShipmentStatus::Dispatched | ShipmentStatus::Delivered);
            assert!(!left || shipment.carrier_reference.is_some());
        };
        let (_, events) = Properties { invariant, repeatable: |_| true, resendable: |_| true }.hold_for(&commands);
        let left = events.iter().any(|e| matches!(e, ShipmentEvent::Dispatched(_)));
        let called_off = events.iter().any(|e| matches!(e, ShipmentEvent::Cancelled(_) | ShipmentEvent::Failed(_)));
        prop_assert!(!(left && called_off));
    }
}
