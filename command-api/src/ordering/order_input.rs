//! What a client sends to place an order.

use domain::ordering::order::{MAX_LINES, MAX_QUANTITY};
use uuid::Uuid;

use crate::web::body::{Rule, integer, line, list, object, string, uuid};

/// The longest part of an address, in characters.
const MAX_PART: usize = 200;
/// The longest token of a payment method, in characters.
const MAX_METHOD: usize = 100;

crate::body! {
    /// An order to place. Prices are the catalogue's.
    pub(crate) struct OrderInput {
        /// What is bought; all of one currency.
        pub(crate) items: Vec<OrderItemInput> = list(1..=MAX_LINES),
        /// The payment provider's token of the payment method; never a card number.
        pub(crate) payment_method: String = token(),
        /// Where to ship to.
        pub(crate) shipping_address: AddressInput = object(),
    }
}

crate::body! {
    /// One thing to buy.
    pub(crate) struct OrderItemInput {
        /// The product.
        pub(crate) product_id: Uuid = uuid(),
        /// Pieces.
        pub(crate) quantity: u32 = integer(1..=MAX_QUANTITY),
    }
}

crate::body! {
    /// Where to ship to.
    pub(crate) struct AddressInput {
        /// The recipient.
        pub(crate) name: String = line(1..=MAX_PART),
        /// Street and number.
        pub(crate) line1: String = line(1..=MAX_PART),
        /// Town.
        pub(crate) city: String = line(1..=MAX_PART),
        /// Postal code.
        pub(crate) postal_code: String = line(1..=MAX_PART),
        /// ISO 3166-1 alpha-2 code.
        pub(crate) country: String = country(),
    }
}

fn token() -> Rule<String> {
    let described = string().min_length(Some(3)).max_length(Some(MAX_METHOD));
    line(1..=MAX_METHOD)
        .then(|token| match is_token(&token) {
            true => Ok(token),
            false => Err("must be a token of the payment provider, like tok_visa"),
        })
        .described(move || described.pattern(Some("^[a-z]+(_[A-Za-z0-9]+)+$")))
        .example("tok_visa")
}

/// What providers' tokens look like, `tok_visa` or `pm_1MqLiJ`: a prefix in lower case, then letters and digits, with `_` between
/// the parts.
fn is_token(text: &str) -> bool {
    let mut parts = text.split('_');
    let prefix = parts.next().unwrap_or_default();
    let mut rest = parts.peekable();
    !prefix.is_empty()
        && prefix.bytes().all(|b| b.is_ascii_lowercase())
        && rest.peek().is_some()
        && rest.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn country() -> Rule<String> {
    line(1..=MAX_PART)
        .then(|code| match code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()) {
            true => Ok(code),
            false => Err("must be an iso 3166-1 alpha-2 code in upper case"),
        })
        .described(move || string().pattern(Some("^[A-Z]{2}$")))
        .example("DE")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::web::body::check;

    fn order() -> Value {
        json!({
            "items": [{"product_id": "0190a0a0-0000-7000-8000-000000000000", "quantity": 2}],
            "payment_method": "tok_visa",
            "shipping_address": {"name": "A", "line1": "B 1", "city": "C", "postal_code": "12345", "country": "DE"},
        })
    }

    fn pointers(value: &Value) -> Vec<String> {
        check::<OrderInput>(value)
            .err()
            .map_or_else(Vec::new, |p| p.errors.into_iter().map(|e| e.pointer).collect())
    }

    // proves: SEC-10
    #[test]
    fn bad_orders_are_refused_with_the_place_of_each_fault() {
        assert!(pointers(&order()).is_empty());
        let cases = [
            ("/items", json!([]), "/items"),
            ("/items/0/quantity", json!(0), "/items/0/quantity"),
            ("/items/0/quantity", json!(-1), "/items/0/quantity"),
            ("/items/0/quantity", json!(1.5), "/items/0/quantity"),
            ("/items/0/quantity", json!(1_000_001), "/items/0/quantity"),
            ("/items/0/product_id", json!("nope"), "/items/0/product_id"),
            ("/payment_method", json!("4111 1111 1111 1111"), "/payment_method"),
            ("/payment_method", json!(""), "/payment_method"),
            ("/payment_method", json!("visa"), "/payment_method"),
            ("/payment_method", json!("tok_"), "/payment_method"),
            ("/payment_method", json!("tok visa"), "/payment_method"),
            ("/payment_method", json!("Tok_visa"), "/payment_method"),
            ("/payment_method", json!("tok__visa"), "/payment_method"),
            ("/payment_method", json!("tok_vi\u{200b}sa"), "/payment_method"),
            ("/payment_method", json!("tok_4111111111111111"), "/payment_method"),
            ("/payment_method", json!("4111.1111.1111.1111"), "/payment_method"),
            ("/shipping_address/line1", json!("Main St 5 4111 1111 1111 1111"), "/shipping_address/line1"),
            ("/shipping_address/country", json!("de"), "/shipping_address/country"),
            ("/shipping_address/country", json!("DEU"), "/shipping_address/country"),
            ("/shipping_address/city", json!("  "), "/shipping_address/city"),
            ("/shipping_address", json!("here"), "/shipping_address"),
        ];
        for (at, value, expected) in cases {
            let mut body = order();
            *body.pointer_mut(at).unwrap() = value;
            assert_eq!(pointers(&body), [expected]);
        }
        for token in [
            "tok_visa",
            "tok_declined",
            "tok_insufficient_funds",
            "tok_timeout_captured",
            "tok_timeout_lost",
            "tok_slow",
            "tok_refused",
            "pm_1MqLiJLkdIwHu7ixUEgbFdYl",
            "pm_card_visa_debit",
        ] {
            let mut body = order();
            body["payment_method"] = token.into();
            assert!(pointers(&body).is_empty(), "{token}");
        }
        let items: Vec<_> = (0..101).map(|_| order()["items"][0].clone()).collect();
        let mut body = order();
        body["items"] = items.into();
        assert_eq!(pointers(&body), ["/items"]);
    }
}
