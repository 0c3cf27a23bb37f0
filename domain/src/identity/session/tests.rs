use proptest::prelude::*;

use super::*;
use crate::testing::{Properties, at, given, given_at, id};

fn start() -> SessionCommand {
    SessionCommand::Start { user_id: id(1), token_digest: "t0".into(), expires_at: at(100) }
}

fn refresh(presented: &str, next: &str) -> SessionCommand {
    SessionCommand::Refresh { presented: presented.into(), next: next.into() }
}

fn started() -> SessionEvent {
    let started = SessionStarted { user_id: id(1), token_digest: "t0".into(), expires_at: at(100) };
    SessionEvent::Started(started)
}

fn refreshed(token: &str) -> SessionEvent {
    SessionEvent::Refreshed(SessionRefreshed { token_digest: token.into() })
}

fn revoked(reuse: bool) -> SessionEvent {
    SessionEvent::Revoked(SessionRevoked { reuse })
}

#[test]
fn a_session_starts_once() {
    given::<Session>(&[]).when(start()).then_expect_events(vec![started()]);
    given::<Session>(&[started()]).when(start()).then_expect_error(SessionError::Exists);
}

// proves: USR-3
#[test]
fn refresh_tokens_rotate_and_reuse_of_an_old_one_revokes_the_family() {
    let rotated = [started(), refreshed("t1")];
    given::<Session>(&[started()]).when(refresh("t0", "t1")).then_expect_events(vec![refreshed("t1")]);
    given::<Session>(&rotated).when(refresh("t1", "t2")).then_expect_events(vec![refreshed("t2")]);
    given::<Session>(&rotated).when(refresh("t0", "t2")).then_expect_events(vec![revoked(true)]);
    let reused = [started(), refreshed("t1"), revoked(true)];
    given::<Session>(&reused).when(refresh("t1", "t2")).then_expect_error(SessionError::Ended);
}

#[test]
fn a_session_ends_when_its_time_is_up() {
    given_at::<Session>(99, &[started()]).when(refresh("t0", "t1")).then_expect_events(vec![refreshed("t1")]);
    given_at::<Session>(100, &[started()]).when(refresh("t0", "t1")).then_expect_error(SessionError::Ended);
    // An old token proves nothing any more once the session has ended anyway.
    given_at::<Session>(100, &[started()]).when(refresh("x", "t1")).then_expect_error(SessionError::Ended);
}

#[test]
fn revoking_is_idempotent() {
    given::<Session>(&[started()]).when(SessionCommand::Revoke).then_expect_events(vec![revoked(false)]);
    given::<Session>(&[started(), revoked(true)]).when(SessionCommand::Revoke).then_expect_events(vec![]);
}

#[test]
fn a_session_that_never_started_is_not_found() {
    for command in [refresh("a", "b"), SessionCommand::Revoke] {
        given::<Session>(&[]).when(command).then_expect_error(SessionError::NotFound);
    }
    assert_eq!(SessionError::NotFound.kind(), RefusalKind::NotFound);
    assert_eq!(SessionError::Ended.code(), "session-ended");
}

fn command() -> impl Strategy<Value = SessionCommand> {
    prop_oneof![
        2 => Just(start()),
        6 => (0..4_u8, 0..4_u8).prop_map(|(a, b)| refresh(&format!("t{a}"), &format!("t{b}"))),
        1 => Just(SessionCommand::Revoke),
    ]
}

proptest! {
    // proves: USR-3
    #[test]
    fn any_sequence_replays_and_nothing_follows_a_revocation(
        commands in prop::collection::vec((0..9_u8, command()), 0..30)
    ) {
        let repeatable = |command: &SessionCommand| !matches!(command, SessionCommand::Refresh { .. });
        let (state, events) =
            Properties::<Session> { invariant: |_| (), repeatable, resendable: repeatable }.hold_for(&commands);
        let ends = events.iter().position(|event| matches!(event, SessionEvent::Revoked(_)));
        prop_assert_eq!(state.revoked, ends.is_some());
        prop_assert!(ends.is_none_or(|end| end + 1 == events.len()));
    }
}
