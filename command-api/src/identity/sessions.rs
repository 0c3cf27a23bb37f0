//! Sessions: login, refresh, logout.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::TimeDelta;
use domain::command::{Accepted, Step};
use domain::identity::session::{Session, SessionCommand};
use domain::identity::user::{User, UserRegistered};
use domain::stream::StreamId;
use utoipa_axum::router::UtoipaMethodRouterExt as _;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::identity::accounts;
use crate::identity::passwords::Passwords;
use crate::identity::refresh::RefreshToken;
use crate::identity::shown;
use crate::web::body::{NoBody, line, secret};
use crate::web::caller::Caller;
use crate::web::issue::{Incoming, Issue, Key, Reply};
use crate::web::openapi::{Conflicting, LoggedIn, OptionalKey, Usual, WithBody};
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;
use crate::web::tokens::ACCESS_TOKEN_LIFETIME;

/// How long a session lasts from its login, however often it is refreshed.
const SESSION_LIFETIME: TimeDelta = TimeDelta::days(30);

const SESSION: &str = "session";

crate::body! {
    /// Who logs in.
    struct Login {
        /// The address, in any spelling.
        email: String = line(1..=320),
        /// The password.
        password: String = secret(1..=128),
    }
}

crate::body! {
    /// A refresh token to exchange.
    struct Refresh {
        /// The last one that the session got.
        refresh_token: String = secret(1..=512),
    }
}

pub(crate) fn routes(passwords: &Arc<Passwords>) -> Routes<CommandState> {
    let login = routes!(login).layer(Extension(Arc::clone(passwords)));
    Routes::default().public(login).public(routes!(refresh)).authenticated(routes!(logout))
}

/// Logs in. Every login opens a session of its own.
#[utoipa::path(
    post, path = "/api/v1/auth/login", operation_id = "login", tag = "auth",
    params(OptionalKey), request_body = Login,
    responses(
        (status = 200, description = "The session's tokens.", body = shown::SessionTokens, headers(
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, LoggedIn,
    ),
)]
async fn login(
    State(state): State<CommandState>,
    Extension(passwords): Extension<Arc<Passwords>>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let (issue, login) = incoming.read::<Login>(&state, Key::Optional).await?;
    // The answer holds tokens that nothing keeps, so a repeat can't get the first one's: it opens another session.
    let issue = issue.without_key();
    let refused = || {
        Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", "e-mail address or password is wrong")
    };
    let user = match accounts::holder_of(&state, &issue.tenant, &login.email).await? {
        Some(user_id) => {
            let stream = StreamId::new(&issue.tenant, "user", user_id);
            let profile = state.read::<User>(&stream).await?.and_then(|(user, _)| user.profile);
            profile.map(|profile| (user_id, stream, profile))
        }
        None => None,
    };
    let phc = match &user {
        Some((_, stream, profile)) => state.keys.open(stream, &[&profile.password_hash]).await?.pop(),
        None => None,
    };
    if !passwords.verify(login.password, phc).await? {
        return Err(refused());
    }
    let (user_id, _, profile) = user.ok_or_else(refused)?;
    let (session_id, session) = issue.draw(SESSION, state.gateway.shards());
    let token = RefreshToken::draw(&*state.keys, session_id);
    let caller = caller(&issue, user_id, &profile, session_id);
    let start = SessionCommand::Start {
        user_id,
        token_digest: token.digest(),
        expires_at: domain::whole_micros(state.clock.now() + SESSION_LIFETIME),
    };
    let accepted = issue.acting(caller.actor()).submit(&state, vec![Step::create(session, start)]).await?;
    tokens(&state, &caller, &token, &accepted)
}

/// Whom the tokens of a session speak for.
fn caller(issue: &Issue, user_id: Uuid, profile: &UserRegistered, session_id: Uuid) -> Caller {
    let roles = profile.roles.iter().map(ToString::to_string).collect();
    Caller { user_id, tenant: issue.tenant.clone(), roles, session_id }
}

/// Exchanges a refresh token for new tokens. It can be used once: using an old one again ends the session.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", operation_id = "refresh", tag = "auth",
    params(OptionalKey), request_body = Refresh,
    responses(
        (status = 200, description = "The session's new tokens.", body = shown::SessionTokens, headers(
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, LoggedIn, Conflicting,
    ),
)]
async fn refresh(State(state): State<CommandState>, incoming: Incoming) -> Result<Reply, Problem> {
    let (issue, body) = incoming.read::<Refresh>(&state, Key::Optional).await?;
    let refused = || {
        let detail = "the refresh token is not valid any more; log in again";
        Problem::new(StatusCode::UNAUTHORIZED, "invalid-refresh-token", detail)
    };
    let presented = RefreshToken::read(&*state.keys, &body.refresh_token).ok_or_else(refused)?;
    let stream = StreamId::new(&issue.tenant, SESSION, presented.session_id);
    let session = state.read::<Session>(&stream).await?.and_then(|(session, _)| session.started);
    let user_id = session.ok_or_else(refused)?.user_id;
    let user = StreamId::new(&issue.tenant, "user", user_id);
    // Roles are read anew, so that a change of them counts from the next refresh on.
    let profile = state.read::<User>(&user).await?.and_then(|(user, _)| user.profile).ok_or_else(refused)?;
    let next = match issue.key() {
        Some(key) => presented.next(&*state.keys, key),
        None => RefreshToken::draw(&*state.keys, presented.session_id),
    };
    let caller = caller(&issue, user_id, &profile, presented.session_id);
    let issue = issue.scoped_by(format!("session:{}", presented.session_id)).acting(caller.actor());
    let exchange = SessionCommand::Refresh { presented: presented.digest(), next: next.digest() };
    let accepted =
        issue.submit(&state, vec![Step::new(stream.clone(), exchange)]).await.map_err(|problem| {
            // 409 `session-ended` is about the token here, not about a state that the client could change.
            if problem.kind.ends_with("/session-ended") { refused() } else { problem }
        })?;
    // An old token is an accepted command too: it ends the session.
    let after = state.read::<Session>(&stream).await?.map(|(session, _)| session);
    if after.is_none_or(|session| session.revoked || session.current != next.digest()) {
        return Err(refused());
    }
    tokens(&state, &caller, &next, &accepted)
}

/// Ends the session that the access token belongs to. The access token itself stays valid until it expires.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", operation_id = "logout", tag = "auth",
    params(OptionalKey),
    responses(
        (status = 204, description = "The session has ended.", headers(
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, Conflicting,
    ),
)]
async fn logout(State(state): State<CommandState>, incoming: Incoming) -> Result<Reply, Problem> {
    let caller = incoming.caller()?;
    let (issue, NoBody) = incoming.read::<NoBody>(&state, Key::Optional).await?;
    let stream = StreamId::new(&caller.tenant, SESSION, caller.session_id);
    let accepted = issue.submit(&state, vec![Step::new(stream, SessionCommand::Revoke)]).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT, &accepted))
}

fn tokens(
    state: &CommandState,
    caller: &Caller,
    refresh: &RefreshToken,
    accepted: &Accepted,
) -> Result<Reply, Problem> {
    let access = state.tokens.issue(caller).map_err(|error| {
        tracing::error!(%error, "an access token can't be signed");
        Problem::internal()
    })?;
    let tokens = shown::SessionTokens {
        access_token: access,
        token_type: "Bearer",
        expires_in: ACCESS_TOKEN_LIFETIME.as_secs(),
        refresh_token: refresh.text().to_owned(),
    };
    let body = serde_json::to_value(tokens).map_err(|_| Problem::internal())?;
    Ok(Reply::with(StatusCode::OK, accepted, body))
}
