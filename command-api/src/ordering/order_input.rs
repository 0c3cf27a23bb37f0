//! What a client sends to place an order.

use domain::ordering::order::{MAX_LINES, MAX_QUANTITY};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::web::body::{Fields, FromBody, Text};

/// The longest part of an address, in characters.
const MAX_PART: usize = 200;
/// The longest token of a payment method, in characters.
const MAX_METHOD: usize = 100;

/// An order to place. Prices are the catalogue's.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "the fields are for the OpenAPI document; the order is read from the same names"
)]
pub(crate) struct OrderInput {
    /// What is bought; all of one currency.
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<OrderItemInput>,
    /// The payment provider's token of the payment method; never a card number.
    #[schema(min_length = 3, max_length = 100, pattern = "^[a-z]+(_[A-Za-z0-9]+)+$", example = "tok_visa")]
    payment_method: String,
    /// Where to ship to.
    shipping_address: AddressInput,
}

/// One thing to buy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the fields are for the OpenAPI document; the item is read from the same names")]
struct OrderItemInput {
    /// The product.
    product_id: Uuid,
    /// Pieces.
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: u32,
}

/// Where to ship to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "the fields are for the OpenAPI document; the address is read from the same names"
)]
struct AddressInput {
    /// The recipient.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Street and number.
    #[schema(min_length = 1, max_length = 200)]
    line1: String,
    /// Town.
    #[schema(min_length = 1, max_length = 200)]
    city: String,
    /// Postal code.
    #[schema(min_length = 1, max_length = 200)]
    postal_code: String,
    /// ISO 3166-1 alpha-2 code.
    #[schema(pattern = "^[A-Z]{2}$", example = "DE")]
    country: String,
}

pub(crate) struct PlaceOrder {
    pub(crate) items: Vec<Item>,
    pub(crate) payment_method: String,
    pub(crate) shipping_address: Address,
}

pub(crate) struct Item {
    pub(crate) product_id: Uuid,
    pub(crate) quantity: u32,
}

pub(crate) struct Address {
    pub(crate) name: String,
    pub(crate) line1: String,
    pub(crate) city: String,
    pub(crate) postal_code: String,
    pub(crate) country: String,
}

impl FromBody for PlaceOrder {
    fn from_fields(fields: &mut Fields<'_>) -> Option<Self> {
        let items = fields.list("items", 1..=MAX_LINES, |item| {
            let product_id = item.uuid("product_id");
            let quantity = item.integer("quantity", 1..=u64::from(MAX_QUANTITY));
            Some(Item { product_id: product_id?, quantity: u32::try_from(quantity?).ok()? })
        });
        let payment_method = fields.text("payment_method", Text::Line, 1..=MAX_METHOD);
        let payment_method = payment_method.filter(|token| {
            let token = is_token(token);
            if !token {
                fields.fault("payment_method", "must be a token of the payment provider, like tok_visa");
            }
            token
        });
        let shipping_address = fields.object("shipping_address", address);
        Some(Self { items: items?, payment_method: payment_method?, shipping_address: shipping_address? })
    }
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

fn address(fields: &mut Fields<'_>) -> Option<Address> {
    let mut part = |name| fields.text(name, Text::Line, 1..=MAX_PART);
    let (name, line1, city, postal_code) = (part("name"), part("line1"), part("city"), part("postal_code"));
    let country = fields.text("country", Text::Line, 1..=MAX_PART).filter(|code| {
        let alpha2 = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        if !alpha2 {
            fields.fault("country", "must be an iso 3166-1 alpha-2 code in upper case");
        }
        alpha2
    });
    Some(Address { name: name?, line1: line1?, city: city?, postal_code: postal_code?, country: country? })
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
        check::<PlaceOrder>(value)
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
