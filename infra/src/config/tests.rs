//! Layers win in order, and errors name the key and its origin.

use super::*;

fn layers(env: &[(&str, &str)], flags: &[(&str, &str)]) -> Layers {
    let own =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Layers { env: own(env), flags: own(flags), ..Layers::default() }
}

fn file(text: &str) -> (tempfile::TempDir, Layers) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.toml");
    std::fs::write(&path, text).unwrap();
    (dir, Layers { file: Some(path), ..Layers::default() })
}

#[test]
fn a_higher_layer_wins_over_a_lower_one() {
    let (_dir, mut layers) =
        file("[http]\nlisten = \"127.0.0.1:1\"\nsync_wait = \"1s\"\n[log]\nshards = 4\n");
    layers.env = vec![("TILLSTREAM_HTTP_LISTEN".into(), "127.0.0.1:2".into()), ("OTHER".into(), "x".into())];
    layers.flags = vec![("data.dir".into(), "/tmp/shop".into())];
    layers.defaults = vec![("data.dir", "demo-data".into()), ("logging.level", "warn".into())];
    let config = layers.load().unwrap();
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.http.sync_wait, Span::seconds(1));
    assert_eq!(config.log.shards, 4);
    assert_eq!(config.data.dir.to_str(), Some("/tmp/shop"));
    assert_eq!(config.logging.level, "warn");
}

#[test]
fn unknown_keys_are_refused_with_their_origin() {
    let (_dir, from_file) = file("[http]\nlisten_on = \"x\"\n");
    let error = from_file.load().unwrap_err().to_string();
    assert!(error.contains("`http.listen_on`") && error.contains("shop.toml"), "{error}");
    let error = layers(&[("TILLSTREAM_HTTP_LISTENS", "x")], &[]).load().unwrap_err().to_string();
    assert!(error.contains("TILLSTREAM_HTTP_LISTENS"), "{error}");
    let error = layers(&[], &[("http.nothing", "x")]).load().unwrap_err().to_string();
    assert!(error.contains("the command line sets `http.nothing`"), "{error}");
}

#[test]
fn bad_values_are_refused_with_key_and_origin() {
    let (_dir, from_file) = file("[log]\nshards = \"many\"\n");
    let error = from_file.load().unwrap_err().to_string();
    assert!(error.contains("`log.shards`") && error.contains("shop.toml"), "{error}");
    let error = layers(&[("TILLSTREAM_HTTP_SYNC_WAIT", "soon")], &[]).load().unwrap_err().to_string();
    assert!(error.contains("the environment sets `http.sync_wait`") && error.contains("`soon`"), "{error}");
    assert!(layers(&[], &[("log.shards", "0")]).load().is_err());
}

#[test]
fn a_broken_or_missing_file_is_named() {
    let (_dir, broken) = file("[http\n");
    assert!(broken.load().unwrap_err().to_string().contains("shop.toml"));
    let missing = Layers { file: Some("/nowhere/shop.toml".into()), ..Layers::default() };
    assert!(missing.load().unwrap_err().to_string().contains("/nowhere/shop.toml"));
}

#[test]
fn wrong_urls_are_refused_without_their_password() {
    let refused = |key, url| layers(&[], &[(key, url)]).load().unwrap_err().to_string();
    for (key, url, reason) in [
        ("log.url", "cassandra://shop:secret@db1", "keyspace"),
        ("read.url", "postgres://shop:secret@db1/shop?color=red", "color"),
        ("search.url", "http://shop:secret@db1/shop?color=red", "color"),
        ("feed.url", "pigeon:", "names no backend"),
        ("keys.url", "cassandra://db1/tillstream", "names no backend"),
        ("payments.url", "stripe://secret", "not supported by this build yet"),
    ] {
        let error = refused(key, url);
        assert!(error.contains(reason) && !error.contains("secret"), "{url}: {error}");
    }
}

const SHARED: [(&str, &str); 4] = [
    ("log.url", "cassandra://db1,db2:9043/tillstream"),
    ("feed.url", "kafka://k1:9092/tillstream"),
    ("read.url", "postgres://shop:secret@pg/shop?schema=shop"),
    ("search.url", "https://es:9200/shop"),
];

fn shared(more: &[(&str, &str)]) -> Config {
    layers(&[], &[&SHARED[..], more].concat()).load().unwrap()
}

// proves: OPS-2
#[test]
fn shared_backends_let_roles_run_apart() {
    let config = shared(&[]);
    assert_eq!(config.check(), Ok(()));
    let Family::Distributed(urls) = config.family().unwrap() else { panic!("it is shared") };
    assert_eq!(urls.keys.schema(), "shop_keys", "the keys are beside the read models");
    assert!(!effective(&config).contains("secret"));
    for role in ["command-api", "projections", "query-api"] {
        assert_eq!(shared(&[("roles.run", role)]).check(), Ok(()), "{role}");
    }
    let keys = shared(&[("keys.url", "postgres://keys@elsewhere/keys?schema=k")]);
    let Family::Distributed(urls) = keys.family().unwrap() else { panic!("it is shared") };
    assert_eq!(urls.keys.to_string(), "postgres://keys@elsewhere/keys?schema=k");
}

#[test]
fn a_provider_of_one_process_is_refused_to_several() {
    let error = shared(&[("roles.run", "sagas")]).check().unwrap_err().to_string();
    assert!(error.contains("payments.url") && error.contains("simulator:<directory>"), "{error}");
    let half = [("roles.run", "sagas"), ("payments.url", "simulator:/srv/books")];
    assert!(shared(&half).check().unwrap_err().to_string().contains("carrier.url"));
    let whole = [&half[..], &[("carrier.url", "simulator:/srv/books")]].concat();
    assert_eq!(shared(&whole).check(), Ok(()));
}

#[test]
fn an_address_that_peers_can_t_reach_is_refused() {
    let error = shared(&[("http.listen", "0.0.0.0:8080")]).check().unwrap_err().to_string();
    assert!(error.contains("http.advertise"), "{error}");
    let named = shared(&[("http.listen", "0.0.0.0:8080"), ("http.advertise", "shop-1:8080")]);
    assert_eq!(named.check(), Ok(()));
    assert_eq!(named.advertised(named.http.listen), "shop-1:8080");
    assert_eq!(shared(&[("http.listen", "0.0.0.0:8080"), ("roles.run", "projections")]).check(), Ok(()));
}

#[test]
fn families_of_backends_don_t_mix() {
    for n in 0..SHARED.len() {
        let config = layers(&[], &SHARED[n..=n]).load().unwrap();
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("don't work together") && error.contains(SHARED[n].0), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(shared(&[("keys.url", "sqlite:")]).check().is_err());
    assert!(layers(&[], &[("keys.url", "postgres://k@pg/shop")]).load().unwrap().check().is_err());
    assert_eq!(layers(&[], &[("keys.url", "sqlite:")]).load().unwrap().check(), Ok(()));
}

#[test]
fn variables_that_kubernetes_makes_are_passed_over() {
    let env = [("TILLSTREAM_SERVICE_HOST", "10.0.0.1"), ("TILLSTREAM_PORT_8080_TCP", "tcp://10.0.0.1:8080")];
    assert_eq!(layers(&env, &[]).load().unwrap(), Config::default());
}

#[test]
fn separate_roles_need_shared_backends() {
    let config = layers(&[], &[("roles.run", "sagas")]).load().unwrap();
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("sagas") && error.contains("embedded"), "{error}");
    let every = layers(&[], &[("roles.run", "command-api, projections,query-api,sagas")]).load().unwrap();
    assert_eq!(every.check(), Ok(()));
}

#[test]
fn the_effective_configuration_is_a_file_that_loads_again() {
    let text = effective(&Config::default());
    let (_dir, layers) = file(&text);
    assert_eq!(layers.load().unwrap(), Config::default());
}

#[test]
fn spans_read_and_write_people_s_units() {
    for (text, shown) in
        [("250ms", "250ms"), ("5s", "5s"), ("90s", "90s"), ("15m", "15m"), ("120m", "2h"), ("0s", "0ms")]
    {
        assert_eq!(text.parse::<Span>().unwrap().to_string(), shown);
    }
    for text in ["", "5", "s", "-1s", "5 weeks", "99999999999999999999s"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
}
