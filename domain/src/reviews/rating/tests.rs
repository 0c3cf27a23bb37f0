use super::*;
use crate::testing::{given, id};

fn count(before: u8, after: u8) -> RatingCommand {
    RatingCommand::Count { product_id: id(1), before, after }
}

fn changed(count: u64, sum: u64) -> RatingEvent {
    RatingEvent::Changed(RatingChanged { product_id: id(1), count, sum })
}

// proves: CAT-3
#[test]
fn a_review_comes_changes_and_goes() {
    given::<ProductRating>(&[]).when(count(0, 4)).then_expect_events(vec![changed(1, 4)]);
    let given = || given::<ProductRating>(&[changed(1, 4), changed(2, 9)]);
    given().when(count(4, 1)).then_expect_events(vec![changed(2, 6)]);
    given().when(count(5, 0)).then_expect_events(vec![changed(1, 4)]);
    given().when(count(3, 3)).then_expect_events(vec![]);
}

// proves: CAT-3
#[test]
fn what_was_never_counted_is_not_taken_out() {
    given::<ProductRating>(&[]).when(count(4, 0)).then_expect_error(RatingError::NeverCounted);
    for (before, after) in [(5, 0), (3, 0), (4, 6)] {
        given::<ProductRating>(&[changed(1, 4)])
            .when(count(before, after))
            .then_expect_error(RatingError::NeverCounted);
    }
    let said = RatingError::NeverCounted;
    assert_eq!((said.code(), said.kind()), ("rating-never-counted", RefusalKind::Conflict));
}
