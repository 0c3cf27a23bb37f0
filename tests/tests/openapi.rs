//! The OpenAPI document: complete, consistent in itself, and in step with the table of operations.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use command_api::web::access::{AUDITOR, Access, OPERATOR, Operation};
use command_api::web::caller::Caller;
use domain::identity::user::Role;
use serde_json::Value;
use uuid::Uuid;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];

/// Served beside the API; they describe it or belong to operators and the simulator.
const UNDOCUMENTED: [&str; 1] = ["/api/v1/openapi.json"];

/// The shop as it is configured from the start.
fn shop() -> infra::application::Application {
    infra::shop::application(&infra::config::Config::default())
}

fn document() -> Value {
    serde_json::to_value(infra::http::openapi(&shop())).unwrap()
}

/// Every operation of the document: (method in capitals, path) → the operation.
fn operations(document: &Value) -> BTreeMap<(String, String), &Value> {
    let mut found = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if METHODS.contains(&method.as_str()) {
                found.insert((method.to_uppercase(), path.clone()), operation);
            }
        }
    }
    found
}

/// Every value of a key, anywhere below.
fn values_of<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key {
                    found.push(value);
                }
                values_of(value, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| values_of(item, key, found)),
        _ => {}
    }
}

// proves: OPS-5
#[test]
fn it_is_an_openapi_3_1_document() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    for pointer in ["/info/title", "/info/version"] {
        assert!(document.pointer(pointer).is_some_and(|text| text != ""), "{pointer}");
    }
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

/// The operations that the API's contract names.
// proves: OPS-5
#[test]
fn every_operation_of_the_contract_is_there() {
    let document = document();
    let documented = operations(&document);
    for (method, path) in [
        ("POST", "/api/v1/users"),
        ("POST", "/api/v1/auth/signup"),
        ("POST", "/api/v1/auth/register"),
        ("POST", "/api/v1/auth/login"),
        ("GET", "/api/v1/users/me"),
        ("PUT", "/api/v1/users/me"),
        ("POST", "/api/v1/products"),
        ("PUT", "/api/v1/products/{id}"),
        ("GET", "/api/v1/products/{id}"),
        ("GET", "/api/v1/products"),
        ("GET", "/api/v1/products/search"),
        ("PUT", "/api/v1/products/{id}/inventory"),
        ("GET", "/api/v1/inventory/availability"),
        ("POST", "/api/v1/orders"),
        ("GET", "/api/v1/orders/{id}"),
        ("GET", "/api/v1/orders"),
        ("POST", "/api/v1/orders/{id}/cancel"),
        ("DELETE", "/api/v1/orders/{id}"),
        ("GET", "/api/v1/payments/{id}"),
        ("POST", "/api/v1/payments/{id}/refund"),
        ("POST", "/api/v1/shipments/{id}/dispatch"),
        ("POST", "/api/v1/shipments/{id}/deliver"),
        ("GET", "/api/v1/operations/sagas"),
        ("GET", "/api/v1/operations/sagas/{order_id}"),
        ("POST", "/api/v1/operations/sagas/{order_id}/retry"),
        ("POST", "/api/v1/operations/sagas/{order_id}/resolve"),
        ("PUT", "/simulator/state"),
        ("GET", "/api/v1/audit/streams/{type}/{id}/events"),
        ("GET", "/api/v1/audit/streams/{type}/{id}"),
        ("GET", "/api/v1/audit/events"),
        ("GET", "/api/v1/audit/verify"),
        ("POST", "/api/v1/audit/verifications"),
        ("GET", "/api/v1/audit/verifications/{id}"),
    ] {
        assert!(documented.contains_key(&(method.into(), path.into())), "{method} {path} is not documented");
    }
}

// proves: OPS-5, SEC-2
#[test]
fn the_document_and_the_table_of_operations_agree() {
    let document = document();
    let documented: BTreeSet<_> = operations(&document).into_keys().collect();
    let allowed = infra::http::operations(&shop());
    let allowed: BTreeSet<_> = allowed.into_iter().map(|o| (o.method.to_owned(), o.path)).collect();
    let denied: Vec<_> = documented.difference(&allowed).collect();
    assert!(denied.is_empty(), "documented, but denied to everybody: {denied:?}");
    let api =
        |(_, path): &&(String, String)| path.starts_with("/api/") && !UNDOCUMENTED.contains(&path.as_str());
    let hidden: Vec<_> = allowed.difference(&documented).filter(api).collect();
    assert!(hidden.is_empty(), "allowed, but not documented: {hidden:?}");
}

// proves: OPS-5
#[test]
fn every_operation_is_described_in_full() {
    let (document, table) = (document(), infra::http::operations(&shop()));
    let mut ids = BTreeSet::new();
    for ((method, path), operation) in operations(&document) {
        let name = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no id"));
        assert!(ids.insert(id), "{id} stands twice");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} has no summary");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name} has no answer");
        for (status, response) in responses {
            let described = response["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{name} {status} has no description");
            if status.starts_with('4') || status.starts_with('5') {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            }
        }
        let Some(access) = table.iter().find(|o| o.method == method && o.path == path).map(|o| &o.access)
        else {
            panic!("{name} is not in the table");
        };
        if path.starts_with("/api/") {
            assert!(
                ["400", "500", "503"].iter().all(|status| responses.contains_key(*status)),
                "{name} lacks an error"
            );
        }
        let secured = operation["security"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one.get("bearer").is_some()));
        assert_eq!(secured, *access != Access::Public, "{name}: security");
        assert!(*access == Access::Public || responses.contains_key("401"), "{name} lacks 401");
        assert!(!matches!(access, Access::Roles(_)) || responses.contains_key("403"), "{name} lacks 403");
        if path.contains('{') {
            assert!(responses.contains_key("404"), "{name} lacks 404");
        }
        described_parameters(&name, &path, operation);
    }
}

/// Every parameter of the path is documented and required, and nothing is documented twice.
fn described_parameters(name: &str, path: &str, operation: &Value) {
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let mut seen = BTreeSet::new();
    for parameter in parameters {
        let (place, parameter_name) =
            (parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap());
        assert!(seen.insert((place, parameter_name)), "{name}: {parameter_name} stands twice");
        assert!(parameter["schema"].is_object(), "{name}: {parameter_name} has no schema");
        assert!(place != "path" || parameter["required"] == true, "{name}: {parameter_name} is not required");
    }
    let wanted: BTreeSet<_> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|part| ("path", part))
        .collect();
    let in_path: BTreeSet<_> = seen.iter().filter(|(place, _)| *place == "path").copied().collect();
    assert_eq!(in_path, wanted, "{name}");
}

// proves: OPS-5
#[test]
fn queries_document_their_token_and_resources_their_tag() {
    let document = document();
    for ((method, path), operation) in operations(&document) {
        if method != "GET" || !path.starts_with("/api/") {
            continue;
        }
        let has = |place: &str, name: &str| {
            let all = operation["parameters"].as_array().into_iter().flatten();
            all.into_iter().any(|p| p["in"] == place && p["name"] == name)
        };
        assert!(has("header", "Sync-Token"), "{path} lacks Sync-Token");
        let tagged = operation.pointer("/responses/200/headers/ETag").is_some();
        assert_eq!(tagged, operation.pointer("/responses/304").is_some(), "{path}: ETag and 304");
        assert_eq!(tagged, has("header", "If-None-Match"), "{path}: ETag and If-None-Match");
        assert_eq!(has("query", "limit"), has("query", "cursor"), "{path}: limit and cursor");
    }
}

// proves: OPS-5
#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut references = Vec::new();
    values_of(&document, "$ref", &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references {
        let pointer = reference
            .as_str()
            .unwrap()
            .strip_prefix('#')
            .unwrap_or_else(|| panic!("{reference} leads outside"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

// proves: SEC-2
#[test]
fn every_operation_stands_once() {
    let mut seen = BTreeSet::new();
    for operation in infra::http::operations(&shop()) {
        assert!(seen.insert((operation.method, operation.path.clone())), "{operation:?} stands twice");
    }
}

/// Role × operation, in full: what each caller may do, by the rule that the API's contract states.
// proves: SEC-2
#[test]
fn the_matrix_of_roles_and_operations_holds() {
    let admin_only = [("POST", "/api/v1/products"), ("PUT", "/api/v1/products/{id}")];
    let warehouse_too = [
        ("PUT", "/api/v1/products/{id}/inventory"),
        ("POST", "/api/v1/shipments/{id}/dispatch"),
        ("POST", "/api/v1/shipments/{id}/deliver"),
    ];
    let support_too = [
        ("POST", "/api/v1/payments/{id}/refund"),
        ("POST", "/api/v1/reviews/{id}/hide"),
        ("POST", "/api/v1/reviews/{id}/show"),
    ];
    let customers = [("POST", "/api/v1/orders"), ("POST", "/api/v1/products/{id}/reviews")];
    let of_operators = [
        ("POST", "/api/v1/operations/sagas/{order_id}/retry"),
        ("POST", "/api/v1/operations/sagas/{order_id}/resolve"),
    ];
    let support_sees = [("GET", "/api/v1/operations/sagas"), ("GET", "/api/v1/operations/sagas/{order_id}")];
    let own = [
        ("POST", "/api/v1/auth/logout"),
        ("GET", "/api/v1/users/me"),
        ("PUT", "/api/v1/users/me"),
        ("GET", "/api/v1/orders"),
        ("GET", "/api/v1/orders/{id}"),
        ("DELETE", "/api/v1/orders/{id}"),
        ("POST", "/api/v1/orders/{id}/cancel"),
        ("GET", "/api/v1/payments/{id}"),
        ("GET", "/api/v1/shipments/{id}"),
        ("GET", "/api/v1/reviews"),
        ("PUT", "/api/v1/reviews/{id}"),
        ("DELETE", "/api/v1/reviews/{id}"),
    ];
    let shown = [
        ("POST", "/api/v1/users"),
        ("POST", "/api/v1/auth/signup"),
        ("POST", "/api/v1/auth/register"),
        ("POST", "/api/v1/auth/login"),
        ("POST", "/api/v1/auth/refresh"),
        ("GET", "/api/v1/products"),
        ("GET", "/api/v1/products/search"),
        ("GET", "/api/v1/products/{id}"),
        ("GET", "/api/v1/products/{id}/reviews"),
        ("GET", "/api/v1/reviews/{id}"),
        ("GET", "/api/v1/inventory/availability"),
        ("GET", "/api/v1/openapi.json"),
        ("GET", "/simulator/charges"),
        ("GET", "/simulator/state"),
        ("PUT", "/simulator/state"),
        ("GET", "/health"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
    ];
    let mut public = BTreeSet::new();
    // What the platform asks for by name is what the shop's accounts have.
    assert_eq!((AUDITOR, OPERATOR), (Role::Auditor.as_str(), Role::Operator.as_str()));
    let caller = |roles: &[Role]| Caller {
        user_id: Uuid::nil(),
        tenant: "default".to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        session_id: Uuid::nil(),
    };
    for Operation { method, path, access } in infra::http::operations(&shop()) {
        let key = (method, path.as_str());
        let allowed = |role: Role| match role {
            Role::Admin if admin_only.contains(&key) => true,
            Role::Admin | Role::Warehouse if warehouse_too.contains(&key) => true,
            Role::Admin | Role::Support if support_too.contains(&key) => true,
            Role::Customer if customers.contains(&key) => true,
            Role::Admin | Role::Operator if of_operators.contains(&key) => true,
            Role::Admin | Role::Operator | Role::Support if support_sees.contains(&key) => true,
            Role::Auditor if path.starts_with("/api/v1/audit/") => true,
            _ => own.contains(&key),
        };
        if access.allows(None) {
            public.insert((method, path.clone()));
            assert_eq!(access, Access::Public, "{key:?}");
        }
        for role in Role::ALL {
            let expected = access == Access::Public || allowed(role);
            assert_eq!(access.allows(Some(&caller(&[role]))), expected, "{role:?} on {key:?}");
        }
        assert_eq!(
            access.allows(Some(&caller(&[]))),
            access == Access::Public || own.contains(&key),
            "no role on {key:?}"
        );
    }
    assert_eq!(public, shown.map(|(method, path)| (method, path.to_owned())).into());
}
