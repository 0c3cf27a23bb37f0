use proptest::prelude::*;

use super::*;
use crate::testing::{Properties, given, id};

fn claim(n: u8) -> EmailClaimCommand {
    EmailClaimCommand::Claim { user_id: id(n) }
}

fn release(n: u8) -> EmailClaimCommand {
    EmailClaimCommand::Release { user_id: id(n) }
}

fn claimed(n: u8) -> EmailClaimEvent {
    EmailClaimEvent::Claimed(EmailClaimed { user_id: id(n) })
}

fn released(n: u8) -> EmailClaimEvent {
    EmailClaimEvent::Released(EmailReleased { user_id: id(n) })
}

// proves: USR-1
#[test]
fn an_address_has_one_holder() {
    given::<EmailClaim>(&[]).when(claim(1)).then_expect_events(vec![claimed(1)]);
    given::<EmailClaim>(&[claimed(1)]).when(claim(2)).then_expect_error(EmailClaimError::Taken);
    given::<EmailClaim>(&[claimed(1)]).when(claim(1)).then_expect_events(vec![]);
    assert_eq!(EmailClaimError::Taken.code(), "email-taken");
    assert_eq!(EmailClaimError::Taken.kind(), RefusalKind::Conflict);
}

#[test]
fn only_the_holder_gives_it_up() {
    given::<EmailClaim>(&[claimed(1)]).when(release(1)).then_expect_events(vec![released(1)]);
    given::<EmailClaim>(&[claimed(1)]).when(release(2)).then_expect_error(EmailClaimError::NotHolder);
    given::<EmailClaim>(&[]).when(release(1)).then_expect_events(vec![]);
    given::<EmailClaim>(&[claimed(1), released(1)]).when(release(1)).then_expect_events(vec![]);
    given::<EmailClaim>(&[claimed(1), released(1)]).when(claim(2)).then_expect_events(vec![claimed(2)]);
}

proptest! {
    // proves: USR-1
    #[test]
    fn any_sequence_of_claims_replays(
        commands in prop::collection::vec((0..9_u8, prop_oneof![(0..3_u8).prop_map(claim), (0..3_u8).prop_map(release)]), 0..30)
    ) {
        Properties::<EmailClaim> { invariant: |_| (), repeatable: |_| true, resendable: |_| false }.hold_for(&commands);
    }
}
