use axum::http::HeaderValue;
use domain::money::{Currency, Money};
use proptest::prelude::*;
use serde_json::json;
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::*;

crate::body! {
    /// A sample.
    struct Sample {
        /// A line.
        name: String = line(1..=10),
        /// A number.
        count: u64 = integer(1..=5),
        /// Money.
        price: Money = money(),
        /// Objects.
        items: Vec<SampleItem> = list(1..=2),
        /// Prose
        /// on two lines.
        note: String = prose(0..=40).or("none"),
        /// Texts.
        attributes: BTreeMap<String, String> = texts(2, 5, 5),
    }
}

crate::body! {
    /// An object of its own.
    struct SampleItem {
        /// Its id.
        id: Uuid = uuid(),
    }
}

fn good() -> Value {
    json!({
        "name": "a", "count": 5, "price": {"amount": 1, "currency": "EUR"},
        "items": [{"id": "0190a0a0-0000-7000-8000-000000000000"}], "attributes": {"a": "b"},
    })
}

fn faults(value: &Value) -> Vec<(String, String)> {
    let problem = check::<Sample>(value).err().unwrap();
    assert_eq!(problem.status, 422);
    problem.errors.into_iter().map(|e| (e.pointer, e.detail)).collect()
}

#[test]
fn a_good_body_is_read() {
    let sample: Sample = check(&good()).unwrap();
    assert_eq!((sample.name.as_str(), sample.count, sample.note.as_str()), ("a", 5, "none"));
    assert_eq!(sample.items[0].id, Uuid::from_u128(0x0190_a0a0_0000_7000_8000_0000_0000_0000));
    assert_eq!(sample.attributes, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    assert_eq!(sample.price, Money::new(1, Currency::Eur));
}

#[test]
fn a_body_is_described_as_it_is_read() {
    let described = serde_json::to_value(Sample::schema()).unwrap();
    assert_eq!(
        described,
        json!({
            "type": "object",
            "description": "A sample.",
            "required": ["name", "count", "price", "items"],
            "properties": {
                "name": {"type": "string", "description": "A line.", "minLength": 1, "maxLength": 10},
                "count": {
                    "type": "integer", "format": "int64", "description": "A number.", "minimum": 1, "maximum": 5,
                },
                "price": {"$ref": "#/components/schemas/Money", "description": "Money."},
                "items": {
                    "type": "array", "description": "Objects.", "minItems": 1, "maxItems": 2,
                    "items": {"$ref": "#/components/schemas/SampleItem"},
                },
                "note": {
                    "type": "string", "description": "Prose\non two lines.", "maxLength": 40, "default": "none",
                },
                "attributes": {
                    "type": "object", "description": "Texts.",
                    "additionalProperties": {"type": "string"}, "propertyNames": {"type": "string"},
                },
            },
            "additionalProperties": false,
        })
    );
    let mut schemas = Vec::new();
    Sample::schemas(&mut schemas);
    let names: Vec<_> = schemas.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Money", "Currency", "SampleItem"]);
}

// proves: SEC-10
#[test]
fn every_fault_is_named_at_once_with_its_pointer() {
    let bad = json!({
        "name": " ", "count": 1.0, "price": {"amount": -1, "currency": "XXX", "tip": 1},
        "items": [{"id": "x"}, 7], "attributes": {"toolong": 1}, "a/b~": null,
    });
    let pointers: Vec<_> = faults(&bad).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(
        pointers,
        [
            "/name",
            "/count",
            "/price/amount",
            "/price/currency",
            "/price/tip",
            "/items/0/id",
            "/items/1",
            "/attributes/toolong",
            "/attributes/toolong",
            "/a~1b~0",
        ]
    );
}

#[test]
fn each_wrong_value_is_refused() {
    let cases = [
        ("name", json!(null)),
        ("name", json!("")),
        ("name", json!("a\nb")),
        ("name", json!("12345678901")),
        ("count", json!(0)),
        ("count", json!(6)),
        ("count", json!(-1)),
        ("count", json!("1")),
        ("count", json!(1e30)),
        ("price", json!(12)),
        ("price", json!({"amount": 9_007_199_254_740_992_u64, "currency": "USD"})),
        ("price", json!({"amount": 0, "currency": "USD"})),
        ("price", json!({"amount": 1, "currency": "usd"})),
        ("items", json!([])),
        ("items", json!([1, 2, 3])),
        ("items", json!({})),
        ("note", json!(null)),
        ("note", json!("a\u{0}")),
        ("attributes", json!({"a": "1", "b": "2", "c": "3"})),
        ("attributes", json!([])),
        ("unknown", json!(1)),
    ];
    for (name, value) in cases {
        let mut body = good();
        body[name] = value.clone();
        assert!(!faults(&body).is_empty(), "{name} = {value}");
    }
    for name in ["name", "count", "price", "items"] {
        let mut body = good();
        body.as_object_mut().unwrap().remove(name);
        assert_eq!(faults(&body), [(format!("/{name}"), "is required".to_owned())]);
    }
    assert_eq!(faults(&json!([])), [(String::new(), "must be an object".to_owned())]);
}

// proves: SEC-7
#[test]
fn card_numbers_have_a_problem_of_their_own_that_does_not_repeat_them() {
    let mut body = good();
    body["note"] = json!("4111 1111 1111 1111");
    let problem = check::<Sample>(&body).err().unwrap();
    assert!(problem.kind.ends_with("/card-number-refused"));
    assert_eq!(problem.errors[0].pointer, "/note");
    assert!(!serde_json::to_string(&problem).unwrap().contains("1111"));
}

#[test]
fn malformed_json_is_400_and_another_media_type_415() {
    let json = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for bytes in [&b""[..], b"{", b"nonsense", b"{\"a\":1,}", b"\xff\xfe", b"{} {}"] {
        assert_eq!(parse::<Sample>(&json, bytes).unwrap_err().status, 400);
    }
    let deep = "[".repeat(100_000);
    assert_eq!(parse::<Sample>(&json, deep.as_bytes()).unwrap_err().status, 400);
    assert_eq!(parse::<Sample>(&HeaderMap::new(), b"{}").unwrap_err().status, 415);
    assert_eq!(parse::<NoBody>(&HeaderMap::new(), b"").unwrap(), json!({}));
    assert_eq!(parse::<NoBody>(&json, b"{}").unwrap(), json!({}));
    assert!(check::<NoBody>(&json!({"a": 1})).is_err());
}

// proves: SEC-10
#[tokio::test]
async fn bodies_past_the_limit_are_413_with_and_without_a_length() {
    let long = vec![b' '; MAX_BODY + 1];
    let stated = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(long.len()))]);
    assert_eq!(read(&stated, Body::empty()).await.unwrap_err().status, 413);
    assert_eq!(read(&HeaderMap::new(), Body::from(long)).await.unwrap_err().status, 413);
    let exact = read(&HeaderMap::new(), Body::from(vec![b' '; MAX_BODY])).await.unwrap();
    assert_eq!(exact.len(), MAX_BODY);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_408() {
    let endless = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    assert_eq!(read(&HeaderMap::new(), endless).await.unwrap_err().status, 408);
}

#[test]
fn the_canonical_form_ignores_spaces_and_the_order_of_keys() {
    let a: Value = serde_json::from_str(r#"{"b": [1, {"y": 1, "x": "\u0041"}], "a": null}"#).unwrap();
    let b: Value = serde_json::from_str(r#"{"a":null,"b":[1,{"x":"A","y":1}]}"#).unwrap();
    assert_eq!(canonical(&a), canonical(&b));
    assert_eq!(canonical(&a), r#"{"a":null,"b":[1,{"x":"A","y":1}]}"#);
    assert_ne!(canonical(&json!([1, 2])), canonical(&json!([2, 1])));
}

proptest! {
    #[test]
    fn parsing_and_checking_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let json = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let Ok(value) = parse::<Sample>(&json, &bytes) {
            let _ = check::<Sample>(&value);
            let _ = canonical(&value);
        }
    }
}

// proves: SEC-10
#[tokio::test]
async fn a_stated_length_sets_little_memory_aside() {
    let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, MAX_BODY.into())]);
    let bytes = read(&headers, Body::from("{}")).await.unwrap();
    assert_eq!(bytes, b"{}");
    assert!(bytes.capacity() <= MAX_RESERVED, "{}", bytes.capacity());
}
