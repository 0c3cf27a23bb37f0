//! How the shop's old events are read today.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::upcast::{Upcaster, Upcasters};

/// The steps of the shop's chain, for chains that hold further ones.
pub const STEPS: &[(&str, u16, Upcaster)] = &[
    ("order.placed", 1, unchanged),
    ("payment.declined", 1, unchanged),
    ("payment.refunded", 1, payment_refunded_1),
    ("product.created", 1, product_created_1),
];

/// The shop's upcaster chain.
pub fn shop() -> &'static Upcasters {
    static CHAIN: LazyLock<Upcasters> = LazyLock::new(|| Upcasters::new(STEPS));
    &CHAIN
}

/// The shape is the same: only what may stand in it has grown.
fn unchanged(payload: Value) -> Value {
    payload
}

/// Version 1 had the price as `price_cents` and `currency`, and its details had no attributes. What is missing stays missing:
/// decoding then names it.
fn product_created_1(mut payload: Value) -> Value {
    if let Some(fields) = payload.as_object_mut()
        && let (Some(amount), Some(currency)) = (fields.remove("price_cents"), fields.remove("currency"))
    {
        fields.insert("price".to_owned(), json!({"amount": amount, "currency": currency}));
    }
    if let Some(details) = payload.get_mut("details").and_then(Value::as_object_mut) {
        details.entry("attributes").or_insert_with(|| json!({}));
    }
    payload
}

/// Version 1 had every reason in the clear.
fn payment_refunded_1(mut payload: Value) -> Value {
    if let Some(reason) = payload.get_mut("reason").filter(|reason| reason.is_string()) {
        *reason = json!({"plain": reason.take()});
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::product::ProductEvent;

    #[test]
    fn an_old_payload_without_a_price_is_named_and_not_guessed() {
        let old = r#"{"details":{"sku":"A","name":"A","description":"","category":"c"},"currency":"USD"}"#;
        let error = shop().decode::<ProductEvent>("product.created", 1, old).unwrap_err();
        assert!(error.reason.contains("price"), "{error}");
    }

    #[test]
    fn versions_without_a_step_and_from_the_future_are_refused() {
        for version in [0, 3] {
            assert!(shop().decode::<ProductEvent>("product.created", version, "{}").is_err());
        }
    }
}
