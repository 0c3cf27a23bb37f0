//! The accounts that come with an installation, and the file that tells their passwords.

mod first_admin;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use command_api::identity::accounts::{Account, Standing, ensure, standing};
use command_api::identity::passwords::Passwords;
use command_api::web::CommandState;
use command_api::web::problem::Problem;
use domain::identity::user::Role;
use domain::ports::log::LogReader;
use domain::stream::DEFAULT_TENANT;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::key_files::write_private;
use crate::private;

/// The accounts by name; the administrator comes last, so that its being there says that all are.
const ACCOUNTS: [(&str, Role); 8] = [
    ("warehouse", Role::Warehouse),
    ("analyst", Role::Analyst),
    ("auditor", Role::Auditor),
    ("support", Role::Support),
    ("customer", Role::Customer),
    ("operator", Role::Operator),
    ("service", Role::Service),
    (ADMIN, Role::Admin),
];
const ADMIN: &str = "admin";

/// What the accounts' addresses end in, where nobody says.
pub const DOMAIN: &str = "tillstream.example";

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
    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// When it can't be read or holds something else.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        private::file(path).with_context(|| path.display().to_string())?;
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let read: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is there already and is no credentials file", path.display()))?;
        read.login(ADMIN).with_context(|| path.display().to_string())?;
        Ok(Some(read))
    }

    /// The same logins, and made-up ones for the accounts that are not among them, with addresses of this domain.
    #[must_use]
    pub fn completed(known: Option<Self>, domain: &str) -> Self {
        let mut logins = known.map(|known| known.0).unwrap_or_default();
        for (name, _) in ACCOUNTS {
            logins.entry(name.to_owned()).or_insert_with(|| Login {
                email: format!("{name}@{domain}"),
                password: BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 18]>()),
            });
        }
        Self(logins)
    }

    /// Whether every account is among them.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        ACCOUNTS.iter().all(|(name, _)| self.0.contains_key(*name))
    }

    /// Writes the file, readable by its owner only.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_private(path, format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())
    }

    /// The login of an account.
    ///
    /// # Errors
    /// When the file doesn't name it.
    pub fn login(&self, name: &str) -> anyhow::Result<&Login> {
        self.0.get(name).with_context(|| format!("the account {name} is missing"))
    }

    /// The accounts, the administrator last.
    fn accounts(&self) -> anyhow::Result<Vec<(&'static str, Account)>> {
        let account = |(name, role): (&'static str, Role)| {
            let login = self.login(name)?;
            let account = Account {
                email: login.email.clone(),
                name: display_name(name),
                password: login.password.clone(),
                roles: vec![role],
            };
            Ok::<_, anyhow::Error>((name, account))
        };
        ACCOUNTS.into_iter().map(account).collect()
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
    let (mut ids, passwords) = (BTreeMap::new(), Passwords::new());
    for (name, account) in credentials.accounts()? {
        let id = ensure(state, &passwords, DEFAULT_TENANT, actor, &account)
            .await
            .map_err(|problem| said(name, &problem))?;
        ids.insert(name.to_owned(), id);
    }
    Ok(ids)
}

/// Refuses addresses that somebody else holds, each by its name: their accounts could not be made, or not be logged in to.
/// `instead` says what helps.
///
/// # Errors
/// When there is one, or nobody can tell.
pub async fn refuse_held_addresses(
    state: &CommandState,
    credentials: &Credentials,
    instead: &str,
) -> anyhow::Result<()> {
    let (mut held, passwords) = (Vec::new(), Passwords::new());
    for (name, account) in credentials.accounts()? {
        let standing = standing(state, &passwords, DEFAULT_TENANT, &account).await;
        if let Standing::Others(how) = standing.map_err(|problem| said(name, &problem))? {
            held.push(format!("the address {} of the account {name} {how}", account.email));
        }
    }
    if held.is_empty() { Ok(()) } else { bail!("{}; nothing was changed: {instead}", held.join("; ")) }
}

/// Refuses to go on when there is an administrator, under whatever address.
///
/// # Errors
/// When there is one, or the log can't be read.
pub async fn refuse_when_there_is_an_admin(log: &dyn LogReader) -> anyhow::Result<()> {
    if first_admin::exists(log, DEFAULT_TENANT).await? {
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

    // proves: OPS-1, SEC-8
    #[test]
    fn the_file_is_private_and_what_it_says_stays() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("credentials.json");
        assert!(Credentials::read(&path).unwrap().is_none());
        let made = Credentials::completed(None, "shop.example");
        made.write(&path).unwrap();
        let read = Credentials::read(&path).unwrap().unwrap();
        assert!(read.is_complete());
        assert_eq!(read.login("operator").unwrap().email, "operator@shop.example");
        assert!(read.login("admin").unwrap().password.len() >= 20);
        let again = Credentials::completed(Some(read), DOMAIN);
        for (name, _) in ACCOUNTS {
            let logins = [&made, &again].map(|all| all.login(name).unwrap());
            assert_eq!((&logins[0].email, &logins[0].password), (&logins[1].email, &logins[1].password));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_of_an_older_version_gets_the_accounts_that_it_lacks() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("credentials.json");
        std::fs::write(&path, r#"{"admin": {"email": "a@b.example", "password": "x"}}"#).unwrap();
        let read = Credentials::read(&path).unwrap().unwrap();
        assert!(!read.is_complete());
        let completed = Credentials::completed(Some(read), DOMAIN);
        assert_eq!(completed.login("admin").unwrap().email, "a@b.example");
        assert_eq!(completed.login("service").unwrap().email, "service@tillstream.example");
    }

    #[test]
    fn another_file_is_never_taken_for_one() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("notes.txt");
        for text in ["my notes", "{}", "[]", r#"{"admin": 1}"#] {
            std::fs::write(&path, text).unwrap();
            assert!(Credentials::read(&path).is_err(), "{text}");
        }
    }
}
