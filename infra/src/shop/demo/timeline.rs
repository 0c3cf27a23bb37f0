//! Printing what happened, event by event.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::out;

/// The events of the saga's own stream that say something to a newcomer; the others are its notes of every step.
const TELLING: [&str; 3] = ["fulfilment.started", "fulfilment.compensating", "fulfilment.ended"];

/// Prints the events of one story, in the order in which they were decided.
pub(super) fn print(events: &[Value], names: &BTreeMap<String, String>) {
    let is_note = |kind: &str| kind.starts_with("fulfilment.") && !TELLING.contains(&kind);
    let notes = events.iter().filter(|event| is_note(text(event, "type"))).count();
    let mut events: Vec<&Value> = events.iter().filter(|event| !is_note(text(event, "type"))).collect();
    // Shards decide independently; what caused what shows in the time, and within a shard in the position.
    events.sort_by(|a, b| text(a, "time").cmp(text(b, "time")).then_with(|| place(a).cmp(&place(b))));
    let start = events.first().and_then(|event| instant(event));
    out::line(out::styled(
        out::QUIET,
        format!("  {:>9}  {:<8} {:<30} {:<17} {}", "after", "position", "event", "by", "what"),
    ));
    for event in events {
        let kind = text(event, "type");
        let after = match (start, instant(event)) {
            (Some(start), Some(at)) => {
                format!("{:.3} s", (at - start).num_microseconds().unwrap_or(0) as f64 / 1e6)
            }
            _ => String::new(),
        };
        out::line(format!(
            "  {:>9}  {:<8} {} {:<17} {}",
            after,
            text(event, "position"),
            out::styled(style(kind), format!("{kind:<30}")),
            actor(text(event, "actor"), names),
            out::styled(out::QUIET, what(event)),
        ));
    }
    out::line(out::styled(
        out::QUIET,
        format!("  and {notes} notes of the saga: what it asked for, and what came of it"),
    ));
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or("")
}

fn place(event: &Value) -> (u64, u64) {
    let (shard, n) = text(event, "position").split_once(':').unwrap_or_default();
    (shard.parse().unwrap_or(0), n.parse().unwrap_or(0))
}

fn instant(event: &Value) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    chrono::DateTime::parse_from_rfc3339(text(event, "time")).ok()
}

/// `user:<id>` by the account's name.
fn actor(actor: &str, names: &BTreeMap<String, String>) -> String {
    match actor.strip_prefix("user:") {
        Some(id) => names.get(id).map_or_else(|| actor.chars().take(13).collect(), Clone::clone),
        None => actor.to_owned(),
    }
}

fn style(kind: &str) -> anstyle::Style {
    match kind.rsplit('.').next().unwrap_or("") {
        "declined" | "rejected" | "cancelled" | "voided" | "failed" | "released" | "refunded" | "unknown" => {
            out::WARN
        }
        "paid" | "captured" | "delivered" | "completed" | "shipped" | "dispatched" => out::GOOD,
        _ => out::NAME,
    }
}

/// The few words that tell most of an event.
fn what(event: &Value) -> String {
    let data = &event["data"];
    let mut words: Vec<String> = Vec::new();
    for line in data["lines"].as_array().into_iter().flatten() {
        words.push(format!("{} × {}", line["quantity"], line["name"].as_str().unwrap_or("")));
    }
    for field in ["total", "amount", "captured"] {
        if let Some(money) = money(&data[field]) {
            words.push(money);
            break;
        }
    }
    for field in ["method", "payment_method", "reason", "step", "outcome", "warehouse"] {
        match &data[field] {
            Value::String(text) if text.chars().count() <= 40 => words.push(text.clone()),
            _ => {}
        }
    }
    if text(event, "type").starts_with("inventory.")
        && let Some(quantity) = data["quantity"].as_u64()
    {
        words.insert(0, format!("{quantity} piece{}", if quantity == 1 { "" } else { "s" }));
    }
    words.join(" · ")
}

/// `12.34 EUR`.
pub(super) fn money(value: &Value) -> Option<String> {
    let (amount, currency) = (value["amount"].as_i64()?, value["currency"].as_str()?);
    let decimals = if currency == "JPY" { 0 } else { 2 };
    let unit = 10_i64.pow(decimals);
    if decimals == 0 {
        return Some(format!("{amount} {currency}"));
    }
    Some(format!("{}.{:02} {currency}", amount / unit, amount % unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_words_of_an_event_name_goods_and_money() {
        let placed = json!({ "type": "order.placed", "data": {
            "lines": [{ "quantity": 2, "name": "Sencha" }], "total": { "amount": 1980, "currency": "EUR" },
            "payment_method": "tok_visa",
        }});
        assert_eq!(what(&placed), "2 × Sencha · 19.80 EUR · tok_visa");
    }

    #[test]
    fn actors_are_called_by_their_account() {
        let names = BTreeMap::from([("7".to_owned(), "customer".to_owned())]);
        assert_eq!(actor("user:7", &names), "customer");
        assert_eq!(actor("saga:fulfilment", &names), "saga:fulfilment");
    }
}
