//! Accounts: how a user comes to be. The address is claimed and the user registered in one frame, so that of two sign-ups with
//! one address one wins (USR-1).

use std::fmt;

use axum::http::StatusCode;
use domain::command::{Accepted, Step};
use domain::identity::email_claim::{EmailClaim, EmailClaimCommand, EmailClaimError};
use domain::identity::user::{Role, User, UserCommand};
use domain::refusal::Refusal;
use domain::stream::{StreamId, draw_id_in_shard};
use uuid::Uuid;

use crate::identity::email;
use crate::identity::passwords::Passwords;
use crate::web::issue::{Issue, answer_of};
use crate::web::problem::{FieldError, Problem};
use crate::web::state::CommandState;

const CLAIM: &str = "email_claim";

/// Who is to have an account. The fields are taken as valid.
#[derive(Clone)]
pub struct Account {
    /// The address as typed.
    pub email: String,
    /// The name.
    pub name: String,
    /// In the clear; hashed before anything else happens to it.
    pub password: String,
    /// What they may do.
    pub roles: Vec<Role>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// The user who holds an address, under whichever form it was claimed.
pub(crate) async fn holder_of(
    state: &CommandState,
    tenant: &str,
    address: &str,
) -> Result<Option<Uuid>, Problem> {
    let claim = |form: &String| StreamId::new(tenant, CLAIM, state.keys.blind(form));
    let claims: Vec<StreamId> = email::spellings(address).iter().map(claim).collect();
    let views = state.gateway.read(&claims).await?;
    Ok(views.iter().find_map(|view| view.state::<EmailClaim>()?.holder))
}

/// What an address that an account is to have is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody's.
    Free,
    /// That of the account itself, which exists: its user id.
    Ours(Uuid),
    /// Somebody else's, who has not the account's roles, or not its password; for people.
    Others(&'static str),
}

/// Finds out who holds an account's address.
///
/// # Errors
/// 503 when an owner or the key store can't be reached.
pub async fn standing(
    state: &CommandState,
    passwords: &Passwords,
    tenant: &str,
    account: &Account,
) -> Result<Standing, Problem> {
    let Some(user_id) = holder_of(state, tenant, &account.email).await? else { return Ok(Standing::Free) };
    let stream = StreamId::new(tenant, "user", user_id);
    let profile = state.read::<User>(&stream).await?.and_then(|(user, _)| user.profile);
    let Some(profile) = profile.filter(|held| account.roles.iter().all(|role| held.roles.contains(role)))
    else {
        return Ok(Standing::Others("is held by a user without its role"));
    };
    let phc = state.keys.open(&stream, &[&profile.password_hash]).await?.pop();
    if passwords.verify(account.password.clone(), phc).await? {
        return Ok(Standing::Ours(user_id));
    }
    Ok(Standing::Others("is held by a user with another password"))
}

/// Makes sure that an account exists, for operators. `actor` stands in the events, as `system:<part>`. Answers its user id.
///
/// # Errors
/// 409 `address-held` when somebody else holds its address; 503 when an owner or the key store can't be reached.
pub async fn ensure(
    state: &CommandState,
    passwords: &Passwords,
    tenant: &str,
    actor: &str,
    account: &Account,
) -> Result<Uuid, Problem> {
    let held = |how: &str| {
        let detail = format!("the address {} {how}", account.email);
        Problem::new(StatusCode::CONFLICT, "address-held", detail)
    };
    match standing(state, passwords, tenant, account).await? {
        Standing::Ours(id) => return Ok(id),
        Standing::Others(how) => return Err(held(how)),
        Standing::Free => {}
    }
    match register(state, passwords, Issue::internal(tenant, actor), account).await {
        Ok(accepted) => id_of(&accepted),
        // Somebody was faster: a sign-up, or another run of the same.
        Err(problem) if problem.status == StatusCode::CONFLICT.as_u16() => {
            match standing(state, passwords, tenant, account).await? {
                Standing::Ours(id) => Ok(id),
                Standing::Others(how) => Err(held(how)),
                Standing::Free => Err(problem),
            }
        }
        Err(problem) => Err(problem),
    }
}

/// Claims the address and registers the user, both or none.
pub(crate) async fn register(
    state: &CommandState,
    passwords: &Passwords,
    issue: Issue,
    account: &Account,
) -> Result<Accepted, Problem> {
    let shards = state.gateway.shards();
    let tenant = issue.tenant.clone();
    // Operators' accounts are made of configuration, which a sign-up's checks have not seen.
    let normal = email::normal(&account.email).ok_or_else(|| {
        let fault = FieldError { pointer: "/email".into(), detail: "must be an e-mail address".into() };
        Problem::invalid(vec![fault])
    })?;
    let claim = StreamId::new(&tenant, CLAIM, state.keys.blind(&normal));
    let shard = claim.shard(shards);
    // Nobody is known yet, so the address is the principal: two strangers with one key don't meet.
    let issue = issue.scoped_by(format!("anonymous:{}", claim.id()));
    // An older program may have claimed the address in another form, in a stream of its own.
    if holder_of(state, &tenant, &account.email).await?.is_some() {
        let taken = Problem::from(Refusal::from(EmailClaimError::Taken));
        return issue.repeat_or(state, shard, taken).await;
    }
    let user_id = draw_id_in_shard(&tenant, "user", shard, shards);
    let user = StreamId::new(&tenant, "user", user_id);
    let phc = passwords.hash(account.password.clone()).await?;
    let sealed = state.keys.seal(&user, &[&account.email, &account.name, &phc]).await?;
    let Ok([email, name, password_hash]) = <[_; 3]>::try_from(sealed) else {
        tracing::error!("the key store sealed another number of values than asked");
        return Err(Problem::internal());
    };
    let steps = vec![
        Step::new(claim.clone(), EmailClaimCommand::Claim { user_id }),
        Step::create(
            user.clone(),
            UserCommand::Register {
                email_claim: claim.id().to_owned(),
                email,
                name,
                password_hash,
                roles: account.roles.clone(),
            },
        ),
    ];
    let outcome = issue.submit(state, steps).await;
    // A user who didn't come to be leaves no key behind. While the outcome is unknown the key stays.
    let in_vain = match &outcome {
        Ok(accepted) => id_of(accepted)? != user_id,
        Err(problem) => (400..500).contains(&problem.status),
    };
    if in_vain && let Err(error) = state.keys.destroy(&user).await {
        tracing::warn!(%error, "the key of a user who was not registered stays in the key store");
    }
    outcome
}

/// The user's id in a sign-up's answer.
fn id_of(accepted: &Accepted) -> Result<Uuid, Problem> {
    let answer = answer_of(accepted)?;
    answer["id"].as_str().and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(|| {
        tracing::error!(command = %accepted.id, "a sign-up's answer has no user id");
        Problem::internal()
    })
}
