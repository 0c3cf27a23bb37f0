use std::collections::BTreeSet;
use std::sync::Arc;

use domain::command::Step;
use domain::stream::StreamId;
use serde_json::Value;
use uuid::Uuid;

use crate::fulfilment::{Fulfilments, Resolution};
use crate::web::CommandState;
use crate::web::access::Access;
use crate::web::routes::Routes;

/// Nobody asks it anything: only what operations look like is of interest here.
struct NoFulfilment;

impl Fulfilments for NoFulfilment {
    fn stream(&self, tenant: &str, order_id: Uuid) -> StreamId {
        StreamId::new(tenant, "fulfilment", order_id)
    }

    fn retry(&self, tenant: &str, order_id: Uuid) -> Step {
        Step::new(self.stream(tenant, order_id), ())
    }

    fn resolve(&self, _: &str, _: Uuid, _: &str, _: Resolution, _: String) -> Option<Step> {
        None
    }
}

fn routes() -> Routes<CommandState> {
    crate::routes(Arc::new(NoFulfilment))
}

fn document() -> Value {
    serde_json::to_value(routes().split().1).unwrap()
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("responses").is_some() {
                found.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
    }
    found
}

// proves: OPS-5
#[test]
fn every_operation_is_described_in_full() {
    let (document, operations_of) = (document(), routes());
    let access_of = operations_of.operations();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}: its id is taken");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{at}: no summary");
        let responses = operation["responses"].as_object().unwrap();
        for status in ["400", "406", "413", "415", "422", "500", "503"] {
            let schema = &responses[status]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{at}: {status}");
        }
        let access = access_of.iter().find(|o| o.method == method && o.path == path).unwrap().access.clone();
        assert_eq!(operation.get("security").is_some(), access != Access::Public, "{at}: security");
        assert_eq!(responses.contains_key("403"), matches!(access, Access::Roles(_)), "{at}: 403");
        if access != Access::Public {
            assert!(responses.contains_key("401"), "{at}: 401");
        }
        assert_eq!(responses.contains_key("404"), path.contains('{') || method == "PUT", "{at}: 404");
        let success = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap().1;
        assert!(success["headers"].get("Sync-Token").is_some(), "{at}: every command answers with a token");
        if method != "DELETE" && operation.get("requestBody").is_some() {
            let content = &operation["requestBody"]["content"];
            assert!(content.get("application/json").is_some(), "{at}: {content}");
        }
    }
}

// proves: OPS-5
#[test]
fn every_reference_of_the_document_resolves() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    let target = document.pointer(reference.trim_start_matches('#'));
                    assert!(target.is_some(), "{reference} leads nowhere");
                }
                object.values().for_each(|value| walk(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn bodies_are_closed_and_keys_documented() {
    let document = document();
    for name in
        ["SignUp", "Login", "ProductInput", "OrderInput", "OrderItemInput", "AddressInput", "RefundInput"]
    {
        let schema = &document["components"]["schemas"][name];
        assert_eq!(schema["additionalProperties"], false, "{name}: {schema}");
    }
    let product = &document["components"]["schemas"]["ProductInput"]["required"];
    assert_eq!(product, &serde_json::json!(["sku", "name", "description", "category", "price"]));
    for (path, required) in
        [("/api/v1/orders", true), ("/api/v1/payments/{id}/refund", true), ("/api/v1/products", false)]
    {
        let parameters = document["paths"][path]["post"]["parameters"].as_array().unwrap();
        let key = parameters.iter().find(|p| p["name"] == "Idempotency-Key").unwrap();
        assert_eq!((&key["in"], &key["required"]), (&"header".into(), &required.into()), "{path}");
    }
}
