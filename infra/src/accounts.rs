//! The accounts that come with an installation, and the file that tells their passwords.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use command_api::http::CommandState;
use command_api::http::accounts::{Account, ensure};
use command_api::http::email::normalised;
use command_api::http::problem::Problem;
use domain::shop::email_claim::EmailClaim;
use domain::shop::user::Role;
use domain::stream::{DEFAULT_TENANT, StreamId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::key_files::write_private;
use crate::private;

/// The accounts by name; the administrator comes last, so that its being there says that all are.
const ACCOUNTS: [(&str, Role); 6] = [
    ("warehouse", Role::Warehouse),
    ("analyst", Role::Analyst),
    ("auditor", Role::Auditor),
    ("support", Role::Support),
    ("customer", Role::Customer),
    (ADMIN, Role::Admin),
];
const ADMIN: &str = "admin";

/// How an account logs in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The address.
    pub email: String,
    /// In the clear: the file is its owner's only copy.
    pub password: String,
}

/// The logins of all accounts, as the credentials file holds them: `{"admin": {"email", "password"}, …}`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credentials(BTreeMap<String, Login>);

impl Credentials {
    /// Reads the file; makes it, readable by its owner only, when there is none.
    ///
    /// # Errors
    /// When it can't be read or written, or holds something else: it is never overwritten.
    pub fn read_or_make(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            let made = Self::made_up();
            let text = format!("{}\n", serde_json::to_string_pretty(&made)?);
            write_private(path, text.as_bytes())?;
            return Ok(made);
        }
        private::file(path).with_context(|| path.display().to_string())?;
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let read: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is there already and is no credentials file", path.display()))?;
        for (name, _) in ACCOUNTS {
            read.login(name).with_context(|| path.display().to_string())?;
        }
        Ok(read)
    }

    /// The login of an account.
    ///
    /// # Errors
    /// When the file doesn't name it.
    pub fn login(&self, name: &str) -> anyhow::Result<&Login> {
        self.0.get(name).with_context(|| format!("the account {name} is missing"))
    }

    fn made_up() -> Self {
        let login = |name: &str| Login {
            email: format!("{name}@tillstream.example"),
            password: BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 18]>()),
        };
        Self(ACCOUNTS.iter().map(|(name, _)| ((*name).to_owned(), login(name))).collect())
    }
}

/// Creates the accounts that don't exist yet, by the commands that a sign-up issues. Answers the user ids by name.
///
/// # Errors
/// When a command isn't accepted.
pub async fn create(
    state: &CommandState,
    actor: &str,
    credentials: &Credentials,
) -> anyhow::Result<BTreeMap<String, Uuid>> {
    let mut ids = BTreeMap::new();
    for (name, role) in ACCOUNTS {
        let login = credentials.login(name)?;
        let account = Account {
            email: login.email.clone(),
            name: display_name(name),
            password: login.password.clone(),
            roles: vec![role],
        };
        let id =
            ensure(state, DEFAULT_TENANT, actor, &account).await.map_err(|problem| said(name, &problem))?;
        ids.insert(name.to_owned(), id);
    }
    Ok(ids)
}

/// Whether the administrator of an installation is there already.
///
/// # Errors
/// When the owner of the stream can't answer.
pub async fn admin_exists(state: &CommandState) -> anyhow::Result<bool> {
    let address = normalised(&format!("{ADMIN}@tillstream.example"));
    let claim = StreamId::new(DEFAULT_TENANT, "email_claim", state.keys.blind(&address));
    let views = state.gateway.read(&[claim]).await?;
    Ok(views.iter().any(|view| view.state::<EmailClaim>().is_some_and(|claim| claim.holder.is_some())))
}

/// Refuses to go on when there is an administrator.
///
/// # Errors
/// When there is one, or nobody can tell.
pub async fn refuse_when_there_is_an_admin(state: &CommandState) -> anyhow::Result<()> {
    if admin_exists(state).await? {
        bail!("an administrator exists already; nothing was changed");
    }
    Ok(())
}

fn said(name: &str, problem: &Problem) -> anyhow::Error {
    anyhow::anyhow!("the account {name} can't be created: {}", problem.detail)
}

fn display_name(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_private_and_read_back() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("credentials.json");
        let made = Credentials::read_or_make(&path).unwrap();
        let read = Credentials::read_or_make(&path).unwrap();
        assert_eq!(made.login("auditor").unwrap().password, read.login("auditor").unwrap().password);
        assert!(made.login("admin").unwrap().password.len() >= 20);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn another_file_is_never_overwritten() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("notes.txt");
        std::fs::write(&path, "my notes").unwrap();
        assert!(Credentials::read_or_make(&path).is_err());
        std::fs::write(&path, r#"{"admin": {"email": "a@b.example", "password": "x"}}"#).unwrap();
        assert!(Credentials::read_or_make(&path).is_err());
        assert!(std::fs::read_to_string(&path).unwrap().contains("a@b.example"));
    }
}
