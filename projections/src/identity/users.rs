//! Users: the profile, personal fields as the ciphertext that the log holds. No password hash.

use domain::event::RecordedEvent;
use domain::identity::user::UserEvent;
use domain::upcast::DecodeError;

use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, col, json, tenant, text};
use crate::engine::model::Projection;
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value};

/// One row per user.
pub static USERS: Table = Table {
    name: "users",
    key: &[TENANT, col("user_id", ColumnKind::Uuid)],
    groups: &[Group {
        name: "user",
        columns: &[
            col("email", ColumnKind::Text),
            col("name", ColumnKind::Text),
            col("roles", ColumnKind::Json),
            CREATED_AT,
            UPDATED_AT,
        ],
    }],
};

/// The projection `users`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Users;

impl Projection for Users {
    fn name(&self) -> &'static str {
        "users"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&USERS] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != "user" {
            return Ok(vec![]);
        }
        let mut set = match event.typed::<UserEvent>()? {
            UserEvent::Registered(registered) => vec![
                ("email", text(registered.email.as_text())),
                ("name", text(registered.name.as_text())),
                ("roles", json(event, &registered.roles)?),
                ("created_at", Value::Time(event.time)),
            ],
            UserEvent::Renamed(renamed) => vec![("name", text(renamed.name.as_text()))],
        };
        set.push(("updated_at", Value::Time(event.time)));
        Ok(vec![RowChange {
            table: &USERS,
            key: vec![tenant(event), Value::Uuid(event.stream_uuid()?)],
            group: "user",
            version: event.version,
            set,
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{event, set, text as t};
    use domain::identity::user::{Role, UserRegistered};
    use domain::personal::Sealed;

    #[test]
    fn personal_fields_stay_ciphertext_and_the_password_stays_in_the_log() {
        // proves: SEC-6
        let sealed = |text: &str| Sealed::from_text(text.to_owned());
        let registered = UserEvent::Registered(UserRegistered {
            email_claim: "claim".into(),
            email: sealed("v1.e"),
            name: sealed("v1.n"),
            password_hash: sealed("v1.p"),
            roles: vec![Role::Customer, Role::Support],
        });
        let rows = Users.map(&event("user", 1, &registered)).unwrap();
        assert_eq!(set(&rows[0], "email"), Some(&t("v1.e")));
        assert_eq!(set(&rows[0], "roles"), Some(&Value::Json(r#"["customer","support"]"#.into())));
        assert!(!format!("{rows:?}").contains("v1.p"));
    }
}
