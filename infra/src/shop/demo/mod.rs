//! The demo: accounts, a small catalogue, and three orders that it plays and prints.
//!
//! Everything goes the way that clients go, under fixed idempotency keys. So a set-up that was cut short, even by a crash, is
//! completed by the next start, and one that is complete is not repeated.

mod api;
mod catalogue;
mod stories;
mod timeline;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::http::Method;
use serde_json::json;
use uuid::Uuid;

use self::api::{Api, Extras};
use self::catalogue::ITEMS;
use crate::cli::out;
use crate::key_files::write_private;
use crate::serve::App;
use crate::shop::accounts::{Credentials, DOMAIN, create, refuse_held_addresses};

/// The credentials file in the data directory.
pub const CREDENTIALS: &str = "demo-credentials.json";
/// The file that says that the stories were played.
const PLAYED: &str = "demo-played";

/// The demo's accounts: how they log in, and their user ids by name.
pub type Accounts = (Credentials, BTreeMap<String, Uuid>);

/// Makes the accounts, or finds them; `None` where the demo has been played already. A server that is ready can log them in.
///
/// # Errors
/// When a command isn't accepted, or the file can't be read or written.
pub async fn accounts(app: &App, data_dir: &Path) -> anyhow::Result<Option<Accounts>> {
    let (played, file) = (data_dir.join(PLAYED).exists(), data_dir.join(CREDENTIALS));
    let known = match Credentials::read(&file) {
        // What was played needs the file no more, so whatever became of it keeps no shop closed.
        Err(_) if played => None,
        read => read?,
    };
    let complete = known.as_ref().is_some_and(Credentials::is_complete);
    // Of a directory of an older version only the accounts are missing that came since.
    if played && (complete || known.is_none()) {
        return Ok(None);
    }
    let credentials = Credentials::completed(known, DOMAIN);
    let instead = "whoever made these accounts, give the demo a directory of its own";
    refuse_held_addresses(app.command_state()?, &credentials, instead).await?;
    if !complete {
        credentials.write(&file)?;
    }
    let ids = create(app.command_state()?, "system:demo", &credentials).await?;
    Ok((!played).then_some((credentials, ids)))
}

/// Sets the demo up, or completes it; does nothing where there are no accounts to play with, since it is complete.
///
/// # Errors
/// When a command isn't accepted, an order doesn't settle, or a file can't be written.
pub async fn prepare(app: &App, data_dir: &Path, accounts: Option<Accounts>) -> anyhow::Result<()> {
    let Some((credentials, ids)) = accounts else {
        out::line("The demo has been played in this directory before; its data are as they were left.");
        return Ok(());
    };
    out::line(out::styled(out::TITLE, "Tillstream: an event-sourced shop"));
    out::line(format!("  accounts: {}", ids.keys().cloned().collect::<Vec<_>>().join(", ")));

    let anonymous = Api::new(app.router.clone());
    let login = async |name: &str| {
        let login = credentials.login(name)?;
        anonymous.login(&login.email, &login.password).await
    };
    let products = stock(&login("admin").await?, &login("warehouse").await?).await?;
    out::line(format!("  catalogue: {} products, with stock", products.len()));

    let cast = stories::Cast {
        customer: login("customer").await?,
        warehouse: login("warehouse").await?,
        auditor: login("auditor").await?,
        names: ids.into_iter().map(|(name, id)| (id.to_string(), name)).collect(),
        products,
    };
    stories::play(&cast).await?;
    write_private(&data_dir.join(PLAYED), b"the demo's stories were played in this directory\n")
}

/// Creates the catalogue and its stock; answers the product ids by SKU.
async fn stock(admin: &Api, warehouse: &Api) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut products = BTreeMap::new();
    for item in &ITEMS {
        let body = json!({
            "sku": item.sku, "name": item.name, "description": item.description, "category": item.category,
            "price": { "amount": item.price, "currency": "EUR" },
        });
        let key = format!("demo-product-{}", item.sku);
        let extras = Extras { idempotency_key: Some(&key), ..Extras::default() };
        let id =
            admin.call(Method::POST, "/api/v1/products", Some(body), extras).await?.text("/id").to_owned();
        // Under a key, so that a repeat doesn't set back what was sold meanwhile.
        let key = format!("demo-stock-{}", item.sku);
        let extras = Extras { idempotency_key: Some(&key), ..Extras::default() };
        let body = json!({ "on_hand": item.on_hand });
        warehouse.call(Method::PUT, &format!("/api/v1/products/{id}/inventory"), Some(body), extras).await?;
        products.insert(item.sku, id);
    }
    Ok(products)
}

/// A path as a shell reads it within double quotes' `$(…)`.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Prints where the shop is, and what to try.
pub fn invite(address: SocketAddr, data_dir: &Path) {
    let credentials: PathBuf = data_dir.join(CREDENTIALS);
    let base = format!("http://{address}");
    out::gap();
    out::line(format!("{}  {}", out::styled(out::TITLE, "The shop is open:"), out::styled(out::NAME, &base)));
    out::line(format!("  API documentation  {base}/docs"));
    out::line(format!("  logins             {}", credentials.display()));
    out::gap();
    out::line(out::styled(out::QUIET, "  Try:"));
    out::line(format!("  curl -s '{base}/api/v1/products/search?q=griner'"));
    out::line(format!(
        "  TOKEN=$(curl -s {base}/api/v1/auth/login -H 'content-type: application/json' \\\n    \
         -d \"$(jq -c .auditor {})\" | jq -r .access_token)",
        quoted(&credentials)
    ));
    out::line(format!(
        "  curl -s '{base}/api/v1/audit/events?type=order.cancelled' -H \"authorization: Bearer $TOKEN\""
    ));
    out::line(format!("  curl -s {base}/simulator/charges"));
    out::line(out::styled(out::QUIET, "  Ctrl-C ends it; the data stay."));
}
