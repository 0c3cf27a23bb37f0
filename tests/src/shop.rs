//! A shop under test: a server with the usual accounts signed in, and the few moves that every journey makes.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Address, Client, Reply, Way};
use crate::engines::Names;
use crate::server::{Place, Server, Start, eventually, shop};

/// What takes longer hangs. Far longer than anything takes that a test waits for, also on a slow machine that is busy with other things:
/// whoever waits says for what, and a time is no part of what it proves.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(300);

/// What clients see of a shop: the usual accounts, and the moves that every journey makes.
#[derive(Debug, Clone)]
pub struct Front {
    /// Not signed in.
    pub stranger: Client,
    /// Signed in.
    pub admin: Client,
    /// Signed in.
    pub warehouse: Client,
    /// Signed in.
    pub auditor: Client,
    /// Signed in.
    pub customer: Client,
}

/// A running shop of one process. Its data directory goes when it is dropped.
pub struct Shop {
    /// The server.
    pub server: Server,
    /// How it was started.
    pub start: Start,
    /// Its logins.
    pub credentials: PathBuf,
    /// Its clients.
    pub front: Front,
    address: Arc<Address>,
    place: Place,
}

impl Deref for Shop {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

/// Where an order goes.
#[must_use]
pub fn address() -> Value {
    json!({ "name": "Kim Berg", "line1": "Hauptweg 1", "city": "Ulm", "postal_code": "89073", "country": "DE" })
}

/// The body of an order of one product.
#[must_use]
pub fn order_of(product: &str, quantity: u32, method: &str) -> Value {
    json!({
        "items": [{ "product_id": product, "quantity": quantity }],
        "payment_method": method,
        "shipping_address": address(),
    })
}

impl Shop {
    /// A new shop with the default configuration.
    pub async fn open() -> Self {
        Self::open_with(|start| start).await
    }

    /// A new shop, started in another way.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn open_with(how: impl FnOnce(Start) -> Start) -> Self {
        let (place, dir, credentials) = shop();
        let start = how(Start::serve(&dir));
        let server = start.start().expect("the server starts");
        let address = Arc::new(Address::new(&server.base));
        let front = Front::sign_in(Client::via(Arc::clone(&address) as Arc<dyn Way>), &credentials).await;
        Self { server, start, credentials, front, address, place }
    }

    /// Its names on the engines, when it is on some.
    #[must_use]
    pub fn names(&self) -> Option<&Names> {
        self.place.names()
    }

    /// A place beside the data directory that goes with the shop.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Starts the server again after it ended; its clients find it, and stay signed in.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn restart(&mut self) {
        self.server = self.start.start().expect("the server starts again");
        self.address.set(&self.server.base);
    }
}

impl Front {
    /// The same with clients that wait for every answer, for tests in which each must come.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self {
            stranger: self.stranger.patient(),
            admin: self.admin.patient(),
            warehouse: self.warehouse.patient(),
            auditor: self.auditor.patient(),
            customer: self.customer.patient(),
        }
    }

    /// Signs the usual accounts in.
    ///
    /// # Panics
    /// When the credentials can't be read or are refused.
    pub async fn sign_in(stranger: Client, credentials: &Path) -> Self {
        let login =
            async |account| stranger.login_as(credentials, account).await.expect("the account logs in");
        let (admin, warehouse) = (login("admin").await, login("warehouse").await);
        let (auditor, customer) = (login("auditor").await, login("customer").await);
        Self { stranger, admin, warehouse, auditor, customer }
    }

    /// A new product with stock; answers its id.
    pub async fn product(&self, sku: &str, cents: i64, on_hand: u64) -> String {
        let body = json!({
            "sku": sku, "name": format!("Product {sku}"), "description": "As good as new.", "category": "things",
            "price": { "amount": cents, "currency": "EUR" },
        });
        let id = ok(self.admin.post("/api/v1/products", &body).send().await).expect(201).id();
        let path = format!("/api/v1/products/{id}/inventory");
        ok(self.warehouse.put(&path, &json!({ "on_hand": on_hand })).send().await).expect(200);
        id
    }

    /// Signs a new customer up and in.
    pub async fn new_customer(&self, name: &str) -> Client {
        let email = format!("{name}@customers.example");
        let body = json!({ "email": email, "password": "correct horse battery", "name": name });
        ok(self.stranger.post("/api/v1/users", &body).send().await).expect(201);
        ok(self.stranger.login(&email, "correct horse battery").await)
    }

    /// Places an order of one product; answers the 201.
    pub async fn order(&self, by: &Client, product: &str, quantity: u32, method: &str) -> Reply {
        let key = uuid::Uuid::now_v7().to_string();
        let call = by.post("/api/v1/orders", &order_of(product, quantity, method)).key(&key);
        ok(call.send().await).expect(201)
    }

    /// Waits until an order has one of these statuses; answers it.
    pub async fn settled(&self, order: &str, statuses: &[&str]) -> Reply {
        let path = format!("/api/v1/orders/{order}");
        eventually(&format!("order {order} to become {statuses:?}"), SETTLES_WITHIN, || async {
            let reply = ok(self.admin.get(&path).await);
            (reply.status == 200 && statuses.contains(&reply.text_at("/status"))).then_some(reply)
        })
        .await
    }

    /// Waits until the payment of an order has this status; answers the payment.
    pub async fn payment(&self, order: &Reply, status: &str) -> Reply {
        let path = format!("/api/v1/payments/{}", order.text_at("/payment/id"));
        eventually(&format!("{path} to become {status}"), SETTLES_WITHIN, || async {
            let reply = ok(self.admin.get(&path).await);
            (reply.text_at("/status") == status).then_some(reply)
        })
        .await
    }

    /// Waits until the stock of a product is as said.
    pub async fn stock(&self, product: &str, on_hand: i64, reserved: i64) {
        let path = format!("/api/v1/inventory/availability?product_id={product}");
        eventually(
            &format!("{on_hand} on hand and {reserved} reserved of {product}"),
            SETTLES_WITHIN,
            || async {
                let reply = ok(self.admin.get(&path).await);
                let now = (reply.number_at("/items/0/on_hand"), reply.number_at("/items/0/reserved"));
                (now == (on_hand, reserved)).then_some(())
            },
        )
        .await;
    }

    /// Every charge at the simulator.
    pub async fn charges(&self) -> Vec<Value> {
        pages(&self.stranger, "/simulator/charges?limit=100").await
    }

    /// The charges of an order at the simulator.
    pub async fn charges_of(&self, order: &str) -> Vec<Value> {
        self.charges().await.into_iter().filter(|charge| charge["order_id"] == order).collect()
    }

    /// The types of a stream's events, in order.
    pub async fn history(&self, kind: &str, id: &str) -> Vec<String> {
        let path = format!("/api/v1/audit/streams/{kind}/{id}/events?limit=100");
        let events = pages(&self.auditor, &path).await;
        events.iter().map(|event| event["type"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The last position of every shard, as a text to compare.
    pub async fn heads(&self) -> String {
        ok(self.stranger.get("/health").await).expect(200).body["log"]["heads"].to_string()
    }

    /// A command without a body on a path.
    pub async fn post(&self, by: &Client, path: &str) -> Reply {
        ok(by.call(Method::POST, path).send().await)
    }
}

/// Every item of a list, page by page.
pub async fn pages(client: &Client, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ok(client.get(&format!("{path}{cursor}")).await).expect(200);
        items.extend(page.body["items"].as_array().cloned().unwrap_or_default());
        match page.text_at("/next_cursor") {
            "" => return items,
            next => cursor = format!("&cursor={next}"),
        }
    }
}

/// What an answered request answered.
///
/// # Panics
/// When no answer came.
#[track_caller]
pub fn ok<T>(answer: reqwest::Result<T>) -> T {
    answer.expect("an answer")
}
