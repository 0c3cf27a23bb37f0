use std::collections::HashSet;

use super::*;

// proves: SEC-2
#[test]
fn every_operation_stands_once() {
    let mut seen = HashSet::new();
    for operation in OPERATIONS {
        assert!(seen.insert((operation.method, operation.path)), "{operation:?} stands twice");
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
    let support_too = [("POST", "/api/v1/payments/{id}/refund")];
    let customers = [("POST", "/api/v1/orders")];
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
    ];
    let mut public = 0;
    for Operation { method, path, access } in OPERATIONS {
        let key = (*method, *path);
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
            public += 1;
            assert_eq!(*access, Public, "{key:?}");
        }
        for role in Role::ALL {
            let expected = *access == Public || allowed(role);
            assert_eq!(access.allows(Some(&[role])), expected, "{role:?} on {key:?}");
        }
        assert_eq!(access.allows(Some(&[])), *access == Public || own.contains(&key), "no role on {key:?}");
    }
    // Sign-up ×3, login, refresh, the shop window ×4, the document, the simulator ×3, health ×3.
    assert_eq!(public, 16);
}

#[test]
fn what_is_not_listed_is_denied() {
    assert_eq!(lookup(&Method::GET, "/api/v1/secrets"), Lookup::Unknown);
    assert_eq!(lookup(&Method::PATCH, "/api/v1/orders"), Lookup::OtherMethods("GET, HEAD, POST".into()));
    assert_eq!(lookup(&Method::HEAD, "/api/v1/orders"), Lookup::Found(Authenticated));
    assert_eq!(lookup(&Method::POST, "/docs/{*rest}"), Lookup::OtherMethods("GET, HEAD".into()));
    assert_eq!(lookup(&Method::GET, "/docsx"), Lookup::Unknown);
}

#[test]
fn bearer_tokens_are_read_strictly() {
    let read = |values: &[&str]| {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&map).map(str::to_owned).ok()
    };
    assert_eq!(read(&["Bearer abc"]), Some("abc".into()));
    assert_eq!(read(&["bearer abc"]), Some("abc".into()));
    for values in [&[][..], &["Basic abc"], &["Bearer"], &["Bearer "], &["abc"], &["Bearer a", "Bearer b"]] {
        assert_eq!(read(values), None, "{values:?}");
    }
}
