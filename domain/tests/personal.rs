//! Personal data in the pure core: sealed values don't show, and the log's bytes depend on ciphertext alone.

use domain::Timestamp;
use domain::aggregate::EventSet;
use domain::event::{EventMeta, NewEvent, RecordedEvent, encode_event};
use domain::frame::{DecidedFrame, EncodedFrame, FrameView, Tail, encode_frame};
use domain::identity::user::{Role, UserCommand, UserEvent, UserRegistered};
use domain::merkle;
use domain::ordering::order::ShippingAddress;
use domain::personal::{ERASED, Sealed};
use domain::position::Shard;
use domain::shipping::shipment::{ShipmentCommand, ShipmentEvent, ShipmentRequested};
use domain::stream::StreamId;
use domain::verify::verify_frame;
use proptest::prelude::*;
use uuid::Uuid;

const STORE: Uuid = Uuid::from_u128(1);

fn address(fields: &[Sealed; 4]) -> ShippingAddress {
    let [name, line1, city, postal_code] = fields.clone();
    ShippingAddress { name, line1, city, postal_code, country: "NL".into() }
}

fn registered(fields: &[Sealed; 4]) -> UserRegistered {
    let [email, name, password_hash, _] = fields.clone();
    UserRegistered { email_claim: "claim".into(), email, name, password_hash, roles: vec![Role::Customer] }
}

fn requested(fields: &[Sealed; 4]) -> ShipmentRequested {
    ShipmentRequested {
        order_id: Uuid::nil(),
        customer_id: Uuid::nil(),
        address: address(fields),
        carrier_key: "key".into(),
    }
}

fn frame_of(event: &impl EventSet, stream: &StreamId) -> EncodedFrame {
    let meta = EventMeta {
        id: Uuid::from_u128(2),
        time: Timestamp::from_timestamp(1_735_689_600, 0).expect("an instant"),
        stream,
        version: 1,
        correlation_id: Uuid::from_u128(3),
        causation_id: Uuid::from_u128(3),
        actor: "system:test",
    };
    let new = NewEvent {
        event_type: event.dotted_type().into(),
        schema_version: event.schema_version(),
        data: event.encode(),
    };
    let mut bytes = Vec::new();
    encode_event(&meta, &new, &mut bytes);
    encode_frame(STORE, &Tail::empty(Shard(0)), 1, Uuid::from_u128(4), &[bytes], &[])
}

/// Four values that are found again wherever they appear.
fn fields() -> impl Strategy<Value = [Sealed; 4]> {
    prop::array::uniform4("[A-Za-z0-9_-]{16,60}".prop_map(|text| Sealed::from_text(format!("v1.{text}"))))
}

proptest! {
    // proves: SEC-6
    #[test]
    fn no_sealed_value_shows_in_what_is_logged_for_people(fields in fields()) {
        let UserRegistered { email_claim, email, name, password_hash, roles } = registered(&fields);
        let shown = [
            format!("{fields:?}"),
            format!("{:?}", UserEvent::Registered(registered(&fields))),
            format!("{:?}", UserCommand::Register { email_claim, email, name, password_hash, roles }),
            format!("{:#?}", ShipmentEvent::Requested(requested(&fields))),
            format!("{:?}", ShipmentCommand::Request {
                order_id: Uuid::nil(),
                customer_id: Uuid::nil(),
                address: address(&fields),
                carrier_key: "key".into(),
            }),
        ];
        for text in shown {
            for field in &fields {
                prop_assert!(!text.contains(field.as_text()), "{text}");
                prop_assert!(!text.contains(&field.as_text()[3..]), "{text}");
            }
        }
    }

    /// The core knows no keys, so destroying one can't change a byte: what is stored and hashed is a function of the
    /// ciphertext. Reading an event and writing it again gives the same bytes, leaf and hash, and never the placeholder.
    // proves: SEC-6
    #[test]
    fn bytes_and_hashes_cover_the_ciphertext_alone(fields in fields()) {
        let stream = StreamId::new("default", "user", Uuid::from_u128(5));
        let event = UserEvent::Registered(registered(&fields));
        let frame = frame_of(&event, &stream);
        prop_assert!(verify_frame(STORE, &Tail::empty(Shard(0)), &frame.bytes).is_ok());

        let decided = DecidedFrame::decode(&frame.bytes).unwrap();
        let recorded: &RecordedEvent = &decided.events[0];
        prop_assert!(!recorded.data.contains(ERASED));
        let read: UserEvent = UserEvent::decode(&recorded.event_type, &recorded.data).unwrap();
        prop_assert_eq!(&read, &event);
        let again = frame_of(&read, &stream);
        prop_assert_eq!(&again.bytes, &frame.bytes);
        prop_assert_eq!(again.hash, frame.hash);

        let view = FrameView::parse(&frame.bytes).unwrap();
        let text = String::from_utf8_lossy(view.events[0]);
        for field in &fields[..3] {
            prop_assert!(text.contains(field.as_text()), "the ciphertext stands in the bytes that the leaf covers");
        }
        prop_assert_eq!(merkle::event_leaf(view.events[0]), view.leaves[0]);
    }

    /// One flipped character of a ciphertext is another event to the verifier: erasure must never rewrite the log.
    // proves: SEC-6, P8
    #[test]
    fn a_changed_ciphertext_is_found(fields in fields(), which in 0..3_usize, at in 3..16_usize) {
        let stream = StreamId::new("default", "user", Uuid::from_u128(5));
        let frame = frame_of(&UserEvent::Registered(registered(&fields)), &stream);
        let needle = fields[which].as_text().as_bytes();
        let start = frame.bytes.windows(needle.len()).position(|window| window == needle).unwrap();
        let mut changed = frame.bytes;
        changed[start + at] ^= 1;
        let fault = verify_frame(STORE, &Tail::empty(Shard(0)), &changed).unwrap_err();
        prop_assert_eq!(fault.position.to_string(), "0:1");
    }
}
