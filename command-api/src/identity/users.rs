//! Users: sign-up and one's own profile.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use domain::command::Step;
use domain::identity::user::{ProfileView, Role, User, UserCommand};
use domain::text::identity;
use serde_json::{Value, json};
use utoipa::openapi::SchemaFormat;
use utoipa_axum::router::UtoipaMethodRouterExt as _;
use utoipa_axum::routes;

use crate::identity::accounts::{self, Account};
use crate::identity::email::{self, MAX_EMAIL};
use crate::identity::passwords::Passwords;
use crate::identity::shown;
use crate::web::body::{Rule, line, secret, string};
use crate::web::issue::{Incoming, Key, Reply, answer_of};
use crate::web::openapi::{ById, Conflicting, OptionalKey, RequiredMatch, Usual, Versioned, WithBody};
use crate::web::preconditions::IfMatch;
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;

/// The longest name, in characters.
const MAX_NAME: usize = 200;

crate::body! {
    /// Who signs up.
    struct SignUp {
        /// Unique per tenant; upper and lower case are the same, and so are all spellings of one letter or host.
        email: String = address(),
        /// Any characters but control and invisible ones.
        password: String = secret(8..=128).then(typable),
        /// What they are called.
        name: String = name(),
    }
}

crate::body! {
    /// What of one's profile can be changed.
    struct ProfileUpdate {
        /// What the user is called from now on.
        name: String = name(),
    }
}

fn address() -> Rule<String> {
    let format = SchemaFormat::Custom("email".to_owned());
    // Longer than an address may be, so that outer spaces and what is wrong with it are told apart.
    line(1..=MAX_EMAIL + 64)
        .then(|typed| match email::normal(&typed) {
            Some(_) => Ok(typed.trim().to_owned()),
            None => Err(format!("must be an e-mail address of at most {MAX_EMAIL} characters")),
        })
        .described(move || string().format(Some(format)).max_length(Some(MAX_EMAIL)))
}

fn typable(password: String) -> Result<String, &'static str> {
    match identity::password(&password).map(|form| form.chars().count()) {
        None => Err("has control or invisible characters, which can't be typed everywhere"),
        Some(..8) => Err("must have 8 to 128 characters"),
        Some(_) => Ok(password),
    }
}

fn name() -> Rule<String> {
    line(1..=MAX_NAME).then(|name| match identity::is_display_name(&name) {
        true => Ok(name),
        false => Err("has characters that are invisible or change the direction of writing"),
    })
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
    let (issue, SignUp { email, password, name }) = incoming.read(&state, Key::Optional).await?;
    let account = Account { email, name, password, roles: vec![Role::Customer] };
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
        (status = 200, description = "The profile as it is now.", body = ProfileView, headers(
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
