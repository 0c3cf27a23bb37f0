use proptest::prelude::*;

use super::*;
use crate::testing::{Properties, answer_of, given, id, sealed, state_of};

const PRODUCT: u8 = 1;

fn write(rating: u8, text: &str) -> ReviewCommand {
    let (customer_id, order_id) = (id(2), id(3));
    ReviewCommand::Write { product_id: id(PRODUCT), customer_id, order_id, rating, text: sealed(text) }
}

fn change(rating: u8, text: &str) -> ReviewCommand {
    ReviewCommand::Change { product_id: id(PRODUCT), rating, text: sealed(text) }
}

fn withdraw() -> ReviewCommand {
    ReviewCommand::Withdraw { product_id: id(PRODUCT) }
}

fn hide(reason: HideReason) -> ReviewCommand {
    ReviewCommand::Hide { product_id: id(PRODUCT), reason }
}

fn show() -> ReviewCommand {
    ReviewCommand::Show { product_id: id(PRODUCT) }
}

use ReviewStatus::{Hidden, Published, Withdrawn};

fn standing(status: ReviewStatus, before: u8, after: u8) -> Standing {
    Standing { status, before, after }
}

fn written(rating: u8, text: &str, status: ReviewStatus) -> ReviewEvent {
    ReviewEvent::Written(ReviewWritten {
        product_id: id(1),
        customer_id: id(2),
        order_id: id(3),
        rating,
        text: sealed(text),
        standing: standing(status, 0, if status == Published { rating } else { 0 }),
    })
}

fn changed(rating: u8, text: &str, standing: Standing) -> ReviewEvent {
    ReviewEvent::Changed(ReviewChanged { product_id: id(1), rating, text: sealed(text), standing })
}

fn withdrawn(before: u8) -> ReviewEvent {
    ReviewEvent::Withdrawn(ReviewWithdrawn { product_id: id(1), standing: standing(Withdrawn, before, 0) })
}

fn hidden(reason: HideReason, status: ReviewStatus, before: u8) -> ReviewEvent {
    ReviewEvent::Hidden(ReviewHidden { product_id: id(1), reason, standing: standing(status, before, 0) })
}

fn shown(status: ReviewStatus, after: u8) -> ReviewEvent {
    ReviewEvent::Shown(ReviewShown { product_id: id(1), standing: standing(status, 0, after) })
}

// proves: CAT-3
#[test]
fn a_customer_has_one_review_of_a_product_and_may_change_it() {
    given::<Review>(&[]).when(write(4, "good")).then_expect_events(vec![written(4, "good", Published)]);
    let given = || given::<Review>(&[written(4, "good", Published)]);
    given().when(write(5, "again")).then_expect_error(ReviewError::Exists);
    given().when(change(2, "worn")).then_expect_events(vec![changed(2, "worn", standing(Published, 4, 2))]);
    given().when(change(4, "good")).then_expect_events(vec![]);
    let of_another = ReviewCommand::Withdraw { product_id: id(9) };
    given().when(of_another).then_expect_error(ReviewError::NotFound);
}

// proves: CAT-3
#[test]
fn what_is_withdrawn_counts_no_more_and_can_be_written_anew() {
    let first = written(4, "good", Published);
    given::<Review>(std::slice::from_ref(&first)).when(withdraw()).then_expect_events(vec![withdrawn(4)]);
    let given = || given::<Review>(&[first.clone(), withdrawn(4)]);
    given().when(withdraw()).then_expect_events(vec![]);
    given().when(change(1, "bad")).then_expect_error(ReviewError::Withdrawn);
    given().when(write(1, "bad")).then_expect_events(vec![written(1, "bad", Published)]);
}

// proves: CAT-3
#[test]
fn what_is_hidden_stays_hidden_until_support_shows_it() {
    let (first, spam) = (written(4, "good", Published), HideReason::Spam);
    given::<Review>(std::slice::from_ref(&first))
        .when(hide(spam))
        .then_expect_events(vec![hidden(spam, Hidden, 4)]);
    let events = [first, hidden(spam, Hidden, 4)];
    let given = || given::<Review>(&events);
    given().when(hide(spam)).then_expect_events(vec![]);
    given().when(hide(HideReason::Unlawful)).then_expect_events(vec![hidden(
        HideReason::Unlawful,
        Hidden,
        0,
    )]);
    given().when(change(5, "buy!")).then_expect_events(vec![changed(5, "buy!", standing(Hidden, 0, 0))]);
    given().when(show()).then_expect_events(vec![shown(Published, 4)]);
    let and = |more: &[ReviewEvent]| [&events[..], more].concat();
    // Nor is that a way around it.
    crate::testing::given::<Review>(&and(&[withdrawn(0)]))
        .when(write(5, "buy!"))
        .then_expect_events(vec![written(5, "buy!", Hidden)]);
    crate::testing::given::<Review>(&and(&[withdrawn(0)]))
        .when(show())
        .then_expect_events(vec![shown(Withdrawn, 0)]);
    crate::testing::given::<Review>(&and(&[withdrawn(0)]))
        .when(hide(HideReason::Offensive))
        .then_expect_events(vec![hidden(HideReason::Offensive, Withdrawn, 0)]);
    let after = and(&[changed(5, "buy!", standing(Hidden, 0, 0)), shown(Published, 5)]);
    crate::testing::given::<Review>(&after).when(show()).then_expect_events(vec![]);
}

// proves: CAT-3
#[test]
fn nothing_is_said_of_what_was_never_written() {
    for command in [withdraw(), show(), hide(HideReason::Spam)] {
        given::<Review>(&[]).when(command).then_expect_error(ReviewError::NotFound);
    }
    for rating in [0, 6, u8::MAX] {
        given::<Review>(&[]).when(write(rating, "x")).then_expect_error(ReviewError::Rating);
        given::<Review>(&[written(4, "good", Published)])
            .when(change(rating, "x"))
            .then_expect_error(ReviewError::Rating);
    }
    let said = |error: ReviewError| (error.code(), error.kind());
    assert_eq!(said(ReviewError::Exists), ("review-exists", RefusalKind::Conflict));
    assert_eq!(said(ReviewError::NotFound), ("review-not-found", RefusalKind::NotFound));
    assert_eq!(said(ReviewError::Withdrawn), ("review-withdrawn", RefusalKind::Conflict));
    assert_eq!(said(ReviewError::Rating), ("rating-out-of-range", RefusalKind::Invalid));
    assert_eq!(said(ReviewError::NotBought), ("product-not-bought", RefusalKind::Conflict));
}

#[test]
fn names_are_the_same_on_the_wire_and_in_the_log() {
    for status in ReviewStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    for reason in HideReason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
}

// proves: CAT-3
#[test]
fn the_answer_is_the_review() {
    assert_eq!(answer_of::<Review>(&[]), None);
    let answer =
        answer_of::<Review>(&[written(4, "good", Published), hidden(HideReason::OffTopic, Hidden, 4)])
            .unwrap();
    insta::assert_json_snapshot!(answer, @r#"
    {
      "created_at": "2025-01-01T00:00:00.000000Z",
      "customer_id": "01950000-0000-7000-8000-000000000002",
      "hidden_because": "off_topic",
      "id": "01950000-0000-7000-8000-0000000000aa",
      "order_id": "01950000-0000-7000-8000-000000000003",
      "product_id": "01950000-0000-7000-8000-000000000001",
      "rating": 4,
      "status": "hidden",
      "text": "v1.good",
      "updated_at": "2025-01-01T00:01:00.000000Z",
      "version": 2
    }
    "#);
}

fn any_command() -> impl Strategy<Value = ReviewCommand> {
    let text = || prop::sample::select(vec!["a", "b"]);
    prop_oneof![
        3 => (0..7_u8, text()).prop_map(|(rating, text)| write(rating, text)),
        3 => (0..7_u8, text()).prop_map(|(rating, text)| change(rating, text)),
        1 => Just(withdraw()),
        1 => prop::sample::select(HideReason::ALL.to_vec()).prop_map(hide),
        1 => Just(show()),
    ]
}

proptest! {
    // proves: CAT-3
    #[test]
    fn what_events_count_adds_up_to_what_the_review_counts(
        commands in prop::collection::vec((0..9_u8, any_command()), 0..30)
    ) {
        let invariant = |review: &Review| assert!(review.counts() <= BEST);
        let repeatable = |command: &ReviewCommand| !matches!(command, ReviewCommand::Write { .. });
        let properties = Properties { invariant, repeatable, resendable: |_| false };
        let (review, events) = properties.hold_for(&commands);
        let mut counted = 0;
        for (n, event) in events.iter().enumerate() {
            let ((_, standing), after) = (event.standing(), state_of::<Review>(&events[..=n]));
            prop_assert_eq!((standing.before, standing.after), (counted, after.counts()));
            prop_assert_eq!(standing.status, after.status());
            counted = standing.after;
        }
        prop_assert_eq!(counted, review.counts());
    }
}
