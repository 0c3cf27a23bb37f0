//! The three stories that the demo plays: one order bought, one declined and compensated, one sold out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::Method;
use domain::command::CommandId;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::api::{Api, Extras};
use super::catalogue::LAST_ONE;
use super::timeline;
use crate::cli::out;

/// Orders settle within 15 s; so long at most is waited for one.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// Who the stories are about.
pub(super) struct Cast {
    pub(super) customer: Api,
    pub(super) warehouse: Api,
    pub(super) auditor: Api,
    /// Account names by user id.
    pub(super) names: BTreeMap<String, String>,
    /// Product ids by SKU.
    pub(super) products: BTreeMap<&'static str, String>,
}

/// The end of an order that is awaited.
#[derive(Clone, Copy)]
enum End {
    Paid,
    Completed,
    Cancelled,
    Rejected,
}

impl End {
    fn reached(self, status: &str) -> bool {
        match self {
            Self::Paid => status == "paid",
            Self::Completed => status == "completed",
            Self::Cancelled => status == "cancelled",
            Self::Rejected => status == "rejected",
        }
    }
}

pub(super) async fn play(cast: &Cast) -> anyhow::Result<()> {
    bought(cast).await.context("the first story")?;
    declined(cast).await.context("the second story")?;
    sold_out(cast).await.context("the third story")
}

async fn bought(cast: &Cast) -> anyhow::Result<()> {
    title(1, "bought", "coffee and a grinder, paid by card, dispatched and delivered");
    let order = cast.order("bought", &[("COFFEE-HOUSE", 2), ("GRIND-HAND", 1)], "tok_visa").await?;
    // A set-up that was cut short may have come anywhere.
    let steps: &[&str] = match order["status"].as_str() {
        Some("delivered" | "completed") => &[],
        Some("shipped") => &["deliver"],
        _ => &["dispatch", "deliver"],
    };
    if !steps.is_empty() {
        let paid = if fulfilled(&order) { order.clone() } else { cast.settle(&order, End::Paid).await? };
        let shipment = paid.pointer("/shipment/id").and_then(Value::as_str).unwrap_or_default().to_owned();
        for step in steps {
            let path = format!("/api/v1/shipments/{shipment}/{step}");
            let key = format!("demo-bought-{step}");
            let extras =
                Extras { idempotency_key: Some(&key), trace: Some(trace("bought")), ..Extras::default() };
            cast.warehouse.call(Method::POST, &path, None, extras).await?;
        }
    }
    let done = cast.settle(&order, End::Completed).await?;
    cast.tell("bought", &done).await
}

async fn declined(cast: &Cast) -> anyhow::Result<()> {
    title(2, "declined and compensated", "the card is refused, so the reserved stock goes back");
    let before = cast.available("BREW-KETTLE").await?;
    let order = cast.order("declined", &[("BREW-KETTLE", 1)], "tok_declined").await?;
    let done = cast.settle(&order, End::Cancelled).await?;
    cast.tell("declined", &done).await?;
    let after = cast.available("BREW-KETTLE").await?;
    out::line(format!("  kettles to be had: {before} before, {after} after"));
    Ok(())
}

async fn sold_out(cast: &Cast) -> anyhow::Result<()> {
    title(3, "sold out", "two customers want the only lamp: the first gets it, the second is never charged");
    let first = cast.order("last-one", &[(LAST_ONE, 1)], "tok_visa").await?;
    let first = match fulfilled(&first) {
        true => first,
        false => cast.settle(&first, End::Paid).await?,
    };
    let second = cast.order("sold-out", &[(LAST_ONE, 1)], "tok_visa").await?;
    let second = cast.settle(&second, End::Rejected).await?;
    cast.tell("last-one", &first).await?;
    out::gap();
    cast.tell("sold-out", &second).await?;
    out::line(format!("  lamps left: {}", cast.available(LAST_ONE).await?));
    Ok(())
}

fn title(number: u8, name: &str, about: &str) {
    out::gap();
    out::line(format!("{} {}", out::styled(out::TITLE, format!("Story {number} · {name}:")), about));
}

fn fulfilled(order: &Value) -> bool {
    matches!(order["status"].as_str(), Some("shipped" | "delivered" | "completed"))
}

/// A story's correlation id: always the same, so that a story that was cut short goes on as itself.
fn trace(story: &str) -> Uuid {
    CommandId::derived(&["demo", "story", story]).0
}

impl Cast {
    /// Places a story's order, or finds it placed already; answers it as a query sees it.
    async fn order(&self, story: &str, items: &[(&str, u32)], payment_method: &str) -> anyhow::Result<Value> {
        let items: Vec<Value> = items
            .iter()
            .map(|(sku, quantity)| json!({ "product_id": self.product(sku), "quantity": quantity }))
            .collect();
        let body = json!({
            "items": items,
            "payment_method": payment_method,
            "shipping_address": {
                "name": "Robin Winter", "line1": "Lindenstraße 5", "city": "Hamburg", "postal_code": "20095", "country": "DE",
            },
        });
        let key = format!("demo-{story}");
        let extras = Extras { idempotency_key: Some(&key), trace: Some(trace(story)), ..Extras::default() };
        let placed = self.customer.call(Method::POST, "/api/v1/orders", Some(body), extras).await?;
        let path = format!("/api/v1/orders/{}", placed.text("/id"));
        Ok(self.customer.get(&path, Some(&placed.seen)).await?.body)
    }

    /// Waits until the order has come to its end.
    async fn settle(&self, order: &Value, end: End) -> anyhow::Result<Value> {
        let path = format!("/api/v1/orders/{}", order["id"].as_str().unwrap_or_default());
        let started = Instant::now();
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            let order = self.customer.get(&path, None).await?.body;
            let status = order["status"].as_str().unwrap_or_default().to_owned();
            if end.reached(&status) {
                return Ok(order);
            }
            if started.elapsed() > SETTLES_WITHIN {
                bail!("the order is still {status} after {} s", SETTLES_WITHIN.as_secs());
            }
        }
    }

    /// Prints a story's events and how its order stands.
    async fn tell(&self, story: &str, order: &Value) -> anyhow::Result<()> {
        let seen = format!("/api/v1/audit/events?correlation_id={}&limit=100", trace(story));
        let (mut events, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let path =
                cursor.as_ref().map_or_else(|| seen.clone(), |cursor| format!("{seen}&cursor={cursor}"));
            let page = self.auditor.get(&path, None).await?.body;
            events.extend(page["items"].as_array().cloned().unwrap_or_default());
            cursor = page["next_cursor"].as_str().map(ToOwned::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        timeline::print(&events, &self.names);
        let reason = order["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let total = timeline::money(&order["total"]).unwrap_or_default();
        let status = order["status"].as_str().unwrap_or_default();
        let style = if matches!(status, "cancelled" | "rejected") { out::WARN } else { out::GOOD };
        let status = out::styled(style, format!("{status}{reason}"));
        out::line(format!("  → order {} over {total}: {status}", order["id"].as_str().unwrap_or_default()));
        Ok(())
    }

    async fn available(&self, sku: &str) -> anyhow::Result<u64> {
        let path = format!("/api/v1/inventory/availability?product_id={}", self.product(sku));
        let answer = self.customer.get(&path, None).await?;
        Ok(answer.body.pointer("/items/0/available").and_then(Value::as_u64).unwrap_or(0))
    }

    fn product(&self, sku: &str) -> &str {
        self.products.get(sku).map_or("", String::as_str)
    }
}
