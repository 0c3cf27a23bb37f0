//! The sagas of a server that runs, over its HTTP API.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Asked, Who, Word};
use crate::config::Config;
use crate::serve::ADDRESS_FILE;
use crate::shop::accounts::Credentials;
use crate::shop::demo::CREDENTIALS;

const SAGAS: &str = "/api/v1/operations/sagas";
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A server, and an account signed in.
pub(super) struct Remote {
    client: Client,
    base: String,
    token: String,
}

impl Remote {
    /// Signs in at the server that holds the data directory.
    pub(super) async fn sign_in(config: &Config, who: &Who) -> anyhow::Result<Self> {
        let dir = &config.data.dir;
        let address = std::fs::read_to_string(dir.join(ADDRESS_FILE))
            .with_context(|| format!("{} is in use, but no server says where it listens", dir.display()))?;
        let file = who.credentials.clone().unwrap_or_else(|| dir.join(CREDENTIALS));
        let credentials = Credentials::read(&file)?.with_context(|| {
            format!(
                "a server runs on {}: name the credentials file of an account that may, with --credentials",
                dir.display()
            )
        })?;
        let login = credentials.login(&who.account)?;
        let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
        let mut remote = Self { client, base: format!("http://{}", address.trim()), token: String::new() };
        let body = json!({ "email": login.email, "password": login.password });
        let answer = ask(remote.request(Method::POST, "/api/v1/auth/login").json(&body)).await?;
        answer["access_token"].as_str().context("no token in the answer")?.clone_into(&mut remote.token);
        Ok(remote)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    pub(super) async fn list(&self, asked: &Asked<'_>, each: &mut dyn FnMut(&Value)) -> anyhow::Result<()> {
        let mut cursor: Option<String> = None;
        loop {
            let query = [
                ("status", asked.status),
                ("older_than", asked.older_than),
                ("reason", asked.reason),
                ("limit", Some("100")),
                ("cursor", cursor.as_deref()),
            ];
            let query: Vec<_> = query.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
            let page = ask(self.request(Method::GET, SAGAS).query(&query)).await?;
            page["items"].as_array().into_iter().flatten().for_each(&mut *each);
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    pub(super) async fn show(&self, order: Uuid) -> anyhow::Result<Value> {
        ask(self.request(Method::GET, &format!("{SAGAS}/{order}"))).await
    }

    pub(super) async fn say(&self, order: Uuid, word: &Word<'_>) -> anyhow::Result<()> {
        let request = match word {
            Word::Retry => self.request(Method::POST, &format!("{SAGAS}/{order}/retry")).json(&json!({})),
            Word::Resolve { step, outcome, reason } => {
                let body = json!({ "step": step, "outcome": outcome, "reason": reason });
                self.request(Method::POST, &format!("{SAGAS}/{order}/resolve")).json(&body)
            }
        };
        ask(request).await.map(drop)
    }
}

/// The answer's body; a problem is an error in its own words.
async fn ask(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await.context("the server doesn't answer")?;
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    if !status.is_success() {
        let faults: Vec<String> = body["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|fault| format!("{} {}", super::word(&fault["pointer"]), super::word(&fault["detail"])))
            .collect();
        bail!("{status}: {} {}", body["detail"].as_str().unwrap_or("no detail"), faults.join(", "));
    }
    Ok(body)
}
