//! Users: sign-up and one's own profile.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use domain::command::Step;
use domain::identity::user::{Role, User, UserCommand};
use domain::text::identity;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::UtoipaMethodRouterExt as _;
use utoipa_axum::routes;

use crate::identity::accounts::{self, Account};
use crate::identity::email::{self, MAX_EMAIL};
use crate::identity::passwords::Passwords;
use crate::identity::shown;
use crate::web::body::{Fields, FromBody, Text};
use crate::web::issue::{Incoming, Key, Reply, answer_of};
use crate::web::openapi::{ById, Conflicting, OptionalKey, RequiredMatch, Usual, Versioned, WithBody};
use crate::web::preconditions::IfMatch;
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;

/// The longest name, in characters.
const MAX_NAME: usize = 200;

/// Who signs up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "the fields are for the OpenAPI document; the account is read from the same names"
)]
struct SignUp {
    /// Unique per tenant; upper and lower case are the same, and so are all spellings of one letter or host.
    #[schema(format = "email", max_length = 254)]
    email: String,
    /// Any characters but control and invisible ones.
    #[schema(min_length = 8, max_length = 128)]
    password: String,
    /// What they are called.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl FromBody for Account {
    fn from_fields(fields: &mut Fields<'_>) -> Option<Self> {
        // Longer than an address may be, so that outer spaces and what is wrong with it are told apart.
        let email = fields.text("email", Text::Line, 1..=MAX_EMAIL + 64).filter(|email| {
            let plausible = email::normal(email).is_some();
            if !plausible {
                fields.fault("email", format!("must be an e-mail address of at most {MAX_EMAIL} characters"));
            }
            plausible
        });
        let password = fields.text("password", Text::Secret, 8..=128).filter(|typed| {
            let length = identity::password(typed).map(|form| form.chars().count());
            match length {
                None => fields.fault(
                    "password",
                    "has control or invisible characters, which can't be typed everywhere",
                ),
                Some(..8) => fields.fault("password", "must have 8 to 128 characters"),
                Some(_) => {}
            }
            length.is_some_and(|length| length >= 8)
        });
        let name = name_of(fields);
        Some(Self {
            email: email?.trim().to_owned(),
            name: name?,
            password: password?,
            roles: vec![Role::Customer],
        })
    }
}

fn name_of(fields: &mut Fields<'_>) -> Option<String> {
    fields.text("name", Text::Line, 1..=MAX_NAME).filter(|name| {
        let shows = identity::is_display_name(name);
        if !shows {
            fields.fault("name", "has characters that are invisible or change the direction of writing");
        }
        shows
    })
}

/// What of one's profile can be changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileUpdate {
    /// What the user is called from now on.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl FromBody for ProfileUpdate {
    fn from_fields(fields: &mut Fields<'_>) -> Option<Self> {
        name_of(fields).map(|name| Self { name })
    }
}

pub(crate) fn routes(passwords: &Arc<Passwords>) -> Routes<CommandState> {
    let passwords = Extension(Arc::clone(passwords));
    Routes::default()
        .public(routes!(sign_up).layer(passwords.clone()))
        .public(routes!(sign_up_at_signup).layer(passwords.clone()))
        .public(routes!(sign_up_at_register).layer(passwords))
        .authenticated(routes!(rename))
}

/// Signs up.
#[utoipa::path(
    post, path = "/api/v1/users", operation_id = "sign_up", tag = "users",
    params(OptionalKey), request_body = SignUp,
    responses(
        (status = 201, description = "The account stands.", body = shown::User, headers(
            ("Location" = String, description = "Where the profile is."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, Conflicting,
    ),
)]
async fn sign_up(
    State(state): State<CommandState>,
    Extension(passwords): Extension<Arc<Passwords>>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let (issue, account) = incoming.read::<Account>(&state, Key::Optional).await?;
    let accepted = accounts::register(&state, &passwords, issue, &account).await?;
    let answer = answer_of(&accepted)?;
    let body = json!({
        "id": answer["id"], "email": account.email, "name": account.name, "roles": answer["roles"],
    });
    Ok(Reply::with(StatusCode::CREATED, &accepted, body).at("/api/v1/users/me"))
}

/// Signs up (alias of `POST /api/v1/users`).
#[utoipa::path(
    post, path = "/api/v1/auth/signup", operation_id = "sign_up_at_signup", tag = "users",
    params(OptionalKey), request_body = SignUp,
    responses(
        (status = 201, description = "The account stands.", body = shown::User, headers(
            ("Location" = String, description = "Where the profile is."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, Conflicting,
    ),
)]
async fn sign_up_at_signup(
    state: State<CommandState>,
    passwords: Extension<Arc<Passwords>>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    sign_up(state, passwords, incoming).await
}

/// Signs up (alias of `POST /api/v1/users`).
#[utoipa::path(
    post, path = "/api/v1/auth/register", operation_id = "sign_up_at_register", tag = "users",
    params(OptionalKey), request_body = SignUp,
    responses(
        (status = 201, description = "The account stands.", body = shown::User, headers(
            ("Location" = String, description = "Where the profile is."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, Conflicting,
    ),
)]
async fn sign_up_at_register(
    state: State<CommandState>,
    passwords: Extension<Arc<Passwords>>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    sign_up(state, passwords, incoming).await
}

/// Changes one's own profile.
#[utoipa::path(
    put, path = "/api/v1/users/me", operation_id = "update_profile", tag = "users",
    params(OptionalKey, RequiredMatch), request_body = ProfileUpdate,
    responses(
        (status = 200, description = "The profile as it is now.", body = shown::Profile, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Versioned,
    ),
)]
async fn rename(State(state): State<CommandState>, incoming: Incoming) -> Result<Reply, Problem> {
    let stream = incoming.caller()?.stream();
    let found = state.read::<User>(&stream).await?;
    let found = found.and_then(|(user, meta)| Some((user.profile?, meta.version)));
    let (profile, version) = found.ok_or_else(|| Problem::not_found("user"))?;
    let expected = IfMatch::required(&incoming.headers)?;
    let (issue, update) = incoming.read::<ProfileUpdate>(&state, Key::Optional).await?;
    let opened = state.keys.open(&stream, &[&profile.email, &profile.name]).await?;
    let [email, name] = opened.as_slice() else { return Err(Problem::internal()) };
    // The same name in new ciphertext would be a change; in the old one it is none.
    let sealed =
        if *name == update.name { profile.name } else { state.keys.seal_one(&stream, &update.name).await? };
    let step = Step {
        expected_version: expected.version(version),
        ..Step::new(stream, UserCommand::Rename { name: sealed })
    };
    let accepted = issue.submit(&state, vec![step]).await?;
    let mut body = answer_of(&accepted)?;
    body["email"] = Value::from(email.as_str());
    body["name"] = Value::from(update.name);
    Ok(Reply::with(StatusCode::OK, &accepted, body).tagged())
}
