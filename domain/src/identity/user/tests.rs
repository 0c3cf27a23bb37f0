use proptest::prelude::*;

use super::*;
use crate::testing::{Properties, answer_of, given, sealed};

fn register(roles: &[Role]) -> UserCommand {
    UserCommand::Register {
        email_claim: "c1".into(),
        email: sealed("email"),
        name: sealed("name"),
        password_hash: sealed("hash"),
        roles: roles.to_vec(),
    }
}

fn registered(roles: &[Role]) -> UserEvent {
    UserEvent::Registered(UserRegistered {
        email_claim: "c1".into(),
        email: sealed("email"),
        name: sealed("name"),
        password_hash: sealed("hash"),
        roles: roles.to_vec(),
    })
}

fn rename(name: &str) -> UserCommand {
    UserCommand::Rename { name: sealed(name) }
}

fn renamed(name: &str) -> UserEvent {
    UserEvent::Renamed(UserRenamed { name: sealed(name) })
}

// proves: USR-1
#[test]
fn a_user_signs_up_once_with_every_role_once() {
    use Role::{Admin, Customer};
    given::<User>(&[])
        .when(register(&[Admin, Customer, Admin]))
        .then_expect_events(vec![registered(&[Customer, Admin])]);
    given::<User>(&[]).when(register(&[])).then_expect_error(UserError::NoRole);
    given::<User>(&[registered(&[Customer])])
        .when(register(&[Customer]))
        .then_expect_error(UserError::Exists);
    assert_eq!(UserError::NoRole.kind(), RefusalKind::Invalid);
    assert_eq!(UserError::Exists.code(), "user-exists");
}

// proves: USR-2
#[test]
fn a_user_changes_their_name() {
    let given_one = || given::<User>(&[registered(&[Role::Customer])]);
    given_one().when(rename("new")).then_expect_events(vec![renamed("new")]);
    given_one().when(rename("name")).then_expect_events(vec![]);
    given::<User>(&[]).when(rename("new")).then_expect_error(UserError::NotFound);
    assert_eq!(UserError::NotFound.kind(), RefusalKind::NotFound);
}

// proves: SEC-6
#[test]
fn the_answer_holds_no_personal_data_not_even_sealed() {
    assert_eq!(answer_of::<User>(&[]), None);
    let answer = answer_of::<User>(&[registered(&[Role::Customer]), renamed("new")]).unwrap();
    insta::assert_json_snapshot!(answer, @r#"
    {
      "created_at": "2025-01-01T00:00:00.000000Z",
      "id": "01950000-0000-7000-8000-0000000000aa",
      "roles": [
        "customer"
      ],
      "updated_at": "2025-01-01T00:01:00.000000Z",
      "version": 2
    }
    "#);
}

fn command() -> impl Strategy<Value = UserCommand> {
    prop_oneof![
        1 => prop::collection::vec(prop::sample::select(Role::ALL.to_vec()), 0..4).prop_map(|roles| register(&roles)),
        3 => prop::sample::select(vec!["a", "b", "name"]).prop_map(rename),
    ]
}

proptest! {
    #[test]
    fn any_sequence_replays_and_roles_stay_distinct(
        commands in prop::collection::vec((0..9_u8, command()), 0..20)
    ) {
        let invariant = |user: &User| {
            let roles = &user.profile.as_ref().unwrap().roles;
            assert!(!roles.is_empty() && roles.is_sorted_by(|a, b| a < b));
        };
        Properties { invariant, repeatable: |_| true, resendable: |_| false }.hold_for(&commands);
    }
}
