use super::*;

#[test]
fn what_is_not_listed_is_denied() {
    let operation =
        |method| Operation { method, path: "/api/v1/orders".into(), access: Access::Authenticated };
    let table = AccessTable::of(&[operation("GET"), operation("POST")]);
    let lookup = |method: &Method, path| table.lookup(method, path);
    assert_eq!(lookup(&Method::GET, "/api/v1/secrets"), Lookup::Unknown);
    assert_eq!(lookup(&Method::PATCH, "/api/v1/orders"), Lookup::OtherMethods("GET, HEAD, POST".into()));
    assert_eq!(lookup(&Method::HEAD, "/api/v1/orders"), Lookup::Found(Access::Authenticated));
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
