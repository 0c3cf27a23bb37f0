use proptest::prelude::*;

use super::*;
use crate::testing::{Properties, at, given, given_at, id};

fn claim(n: u8, instead_of: Option<u8>) -> SkuClaimCommand {
    SkuClaimCommand::Claim { product_id: id(n), sku: "mug-1".into(), instead_of: instead_of.map(id) }
}

fn release(n: u8) -> SkuClaimCommand {
    SkuClaimCommand::Release { product_id: id(n) }
}

fn claimed(n: u8, second: i64) -> SkuClaimEvent {
    SkuClaimEvent::Claimed(SkuClaimed { product_id: id(n), sku: "mug-1".into(), claimed_at: at(second) })
}

fn released(n: u8) -> SkuClaimEvent {
    SkuClaimEvent::Released(SkuReleased { product_id: id(n) })
}

// proves: CAT-1
#[test]
fn a_number_has_one_holder() {
    given::<SkuClaim>(&[]).when(claim(1, None)).then_expect_events(vec![claimed(1, 0)]);
    given::<SkuClaim>(&[claimed(1, 0)]).when(claim(2, None)).then_expect_error(SkuClaimError::Taken);
    given_at::<SkuClaim>(9, &[claimed(1, 0)]).when(claim(1, None)).then_expect_events(vec![claimed(1, 9)]);
    given::<SkuClaim>(&[claimed(1, 0), released(1)])
        .when(claim(2, None))
        .then_expect_events(vec![claimed(2, 0)]);
    assert_eq!(
        (SkuClaimError::Taken.code(), SkuClaimError::Taken.kind()),
        ("sku-taken", RefusalKind::Conflict)
    );
}

// proves: CAT-1
#[test]
fn only_the_holder_gives_it_up() {
    given::<SkuClaim>(&[claimed(1, 0)]).when(release(1)).then_expect_events(vec![released(1)]);
    given::<SkuClaim>(&[claimed(1, 0)]).when(release(2)).then_expect_events(vec![]);
    given::<SkuClaim>(&[]).when(release(1)).then_expect_events(vec![]);
}

// proves: CAT-1
#[test]
fn a_claim_that_no_product_bears_out_is_taken_over_after_a_while() {
    let held = [claimed(1, 0)];
    let late = GRACE.num_seconds();
    given_at::<SkuClaim>(late - 1, &held).when(claim(2, Some(1))).then_expect_error(SkuClaimError::Taken);
    given_at::<SkuClaim>(late, &held).when(claim(2, Some(1))).then_expect_events(vec![claimed(2, late)]);
    given_at::<SkuClaim>(late, &held).when(claim(2, Some(3))).then_expect_error(SkuClaimError::Taken);
    given_at::<SkuClaim>(late, &held).when(claim(2, None)).then_expect_error(SkuClaimError::Taken);
    // One that claims anew has all the time again.
    let renewed = [claimed(1, 0), claimed(1, late)];
    given_at::<SkuClaim>(late + 1, &renewed).when(claim(2, Some(1))).then_expect_error(SkuClaimError::Taken);
}

#[test]
fn spellings_of_a_number_meet_in_one_stream() {
    assert_eq!(stream("default", "mug-1"), stream("default", "mug-1"));
    assert_ne!(stream("default", "mug-1"), stream("other", "mug-1"));
    assert_ne!(stream("default", "mug-1"), stream("default", "mug-2"));
    assert_eq!(stream("default", "mug-1").id().len(), 64);
}

proptest! {
    // proves: CAT-1
    #[test]
    fn any_sequence_of_claims_replays(
        commands in prop::collection::vec((0..9_u8, prop_oneof![
            ((0..3_u8), prop::option::of(0..3_u8)).prop_map(|(n, instead)| claim(n, instead)),
            (0..3_u8).prop_map(release),
        ]), 0..30)
    ) {
        let is_release = |command: &SkuClaimCommand| matches!(command, SkuClaimCommand::Release { .. });
        Properties::<SkuClaim> { invariant: |_| (), repeatable: is_release, resendable: |_| false }.hold_for(&commands);
    }
}
