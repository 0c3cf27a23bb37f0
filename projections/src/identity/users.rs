//! Users: the profile, personal fields as the ciphertext that the log holds. No password hash.

use domain::event::RecordedEvent;
use domain::identity::user::{ProfileView, UserEvent};
use domain::personal::Sealed;
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, json, tenant, text};
use crate::engine::model::Projection;
use crate::engine::query::{Condition, Row, Select, Unreadable, View, first};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value, col};

/// One row per user.
pub static USERS: Table = Table {
    name: "users",
    about: "One row per user; personal data is ciphertext that only the application can open.",
    key: &[TENANT, col("user_id", ColumnKind::Uuid, "The user")],
    groups: &[Group {
        name: "user",
        source: "user",
        columns: &[
            col("email", ColumnKind::Text, "The address, ciphertext"),
            col("name", ColumnKind::Text, "The name, ciphertext"),
            col("roles", ColumnKind::Json, "What they may do: an array of texts"),
            CREATED_AT,
            UPDATED_AT,
        ],
    }],
    indexes: &[],
};

/// The name of the projection.
pub const NAME: &str = "users";

/// The projection `users`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Users;

impl Projection for Users {
    fn name(&self) -> &'static str {
        NAME
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

impl View for ProfileView<Sealed> {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &USERS;

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self {
            id: row.uuid("user_id")?,
            email: Sealed::from_text(row.text("email")?.to_owned()),
            name: Sealed::from_text(row.text("name")?.to_owned()),
            roles: row.json("roles")?,
            version: row.version("user")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

/// Questions about users.
pub trait ReadUsers: ReadModels {
    /// A user.
    ///
    /// # Errors
    /// [`ReadError`].
    fn user(
        &self,
        tenant: &str,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<ProfileView<Sealed>>, ReadError>> + Send {
        async move {
            first(
                self,
                Select::of::<ProfileView<Sealed>>(tenant).and(Condition::Is("user_id", Value::Uuid(id))),
            )
            .await
        }
    }
}

impl<R: ReadModels + ?Sized> ReadUsers for R {}

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
