//! A shop with its staff, served by the real binary.

use std::path::{Path, PathBuf};

use infra::config::{Config, Layers};
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::server::{Place, Server, Start, shop};

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) admin: Client,
    credentials: PathBuf,
    _temp: Place,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (temp, dir, credentials) = shop();
        let server = Start::serve(&dir).start().unwrap();
        let admin = server.login(&credentials, "admin").await.unwrap();
        Self { server, admin, credentials, _temp: temp }
    }

    pub(crate) async fn account(&self, name: &str) -> Client {
        self.server.login(&self.credentials, name).await.unwrap()
    }

    pub(crate) async fn customer(&self, email: &str) -> Client {
        self.sign_up(email, "Ada").await.expect(201);
        self.server.client().login(email, PASSWORD).await.unwrap()
    }

    pub(crate) async fn sign_up(&self, email: &str, name: &str) -> Reply {
        let body = json!({"email": email, "password": PASSWORD, "name": name});
        self.server.client().post("/api/v1/users", &body).send().await.unwrap()
    }

    /// Creates a product, or tries to.
    pub(crate) async fn create(&self, body: &Value) -> Reply {
        self.admin.post("/api/v1/products", body).send().await.unwrap()
    }

    /// A new product's id and Sync-Token.
    pub(crate) async fn product(&self, sku: &str) -> (String, String) {
        let made = self.create(&product(sku)).await.expect(201);
        (made.id(), made.header("sync-token").to_owned())
    }

    /// Everything that the log holds, as an auditor reads it.
    pub(crate) async fn log(&self) -> String {
        let auditor = self.account("auditor").await;
        let (mut all, mut cursor) = (String::new(), None::<String>);
        loop {
            let more = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page =
                auditor.get(&format!("/api/v1/audit/events?limit=100{more}")).await.unwrap().expect(200);
            all.push_str(&page.text);
            cursor = page.body["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return all;
            }
        }
    }

    /// What the program logged.
    pub(crate) fn diary(&self) -> String {
        std::fs::read_to_string(self.server.dir.with_extension("log")).unwrap_or_default()
    }
}

/// The configuration of a server in this process.
pub(crate) fn in_process(dir: &Path) -> Config {
    let flags = [
        ("data.dir", dir.to_str().unwrap()),
        ("log.shards", "4"),
        ("payments.url", "simulator:"),
        ("carrier.url", "simulator:"),
    ];
    let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    Layers { flags, ..Layers::default() }.load().unwrap()
}

pub(crate) fn product(sku: &str) -> Value {
    json!({
        "sku": sku, "name": "Mug", "description": "for tests", "category": "mugs",
        "price": {"amount": 500, "currency": "EUR"}, "attributes": {"colour": "red"},
    })
}

pub(crate) fn order(product: &str) -> Value {
    json!({
        "items": [{"product_id": product, "quantity": 1}], "payment_method": "tok_visa",
        "shipping_address": {"name": "Ada", "line1": "1 Main St", "city": "Berlin", "postal_code": "10115", "country": "DE"},
    })
}

pub(crate) fn with(body: &Value, pointer: &str, value: impl Into<Value>) -> Value {
    let mut body = body.clone();
    *body.pointer_mut(pointer).unwrap() = value.into();
    body
}

#[track_caller]
pub(crate) fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.problem()), (status, code), "{}", reply.text);
}

pub(crate) fn pointers(reply: &Reply) -> Vec<String> {
    let errors = reply.body["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}
