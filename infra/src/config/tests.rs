//! Layers win in order, and errors name the key and its origin.

use super::*;

/// Both checks, as the shop's start does them.
trait CheckAll {
    fn check_all(&self) -> Result<(), ConfigError>;
}

impl CheckAll for Config {
    fn check_all(&self) -> Result<(), ConfigError> {
        crate::shop::application(self).check(self)
    }
}

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
    assert!(layers(&[], &[("simulator.public", "true")]).load().unwrap().simulator.public);
    let error = layers(&[], &[("simulator.public", "perhaps")]).load().unwrap_err().to_string();
    assert!(error.contains("`simulator.public`"), "{error}");
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

/// Who takes orders further, in a directory that processes can share.
const NAMED: [(&str, &str); 2] =
    [("payments.url", "simulator:/srv/books"), ("carrier.url", "simulator:/srv/books")];

fn shared(more: &[(&str, &str)]) -> Config {
    layers(&[], &[&SHARED[..], &NAMED[..], more].concat()).load().unwrap()
}

// proves: OPS-2
#[test]
fn shared_backends_let_roles_run_apart() {
    let config = shared(&[]);
    assert_eq!(config.check_all(), Ok(()));
    let Family::Distributed(urls) = config.family().unwrap() else { panic!("it is shared") };
    assert_eq!(urls.keys.schema(), "shop_keys", "the keys are beside the read models");
    assert!(!effective(&config).contains("secret"));
    for role in ["command-api", "projections", "query-api"] {
        assert_eq!(shared(&[("roles.run", role)]).check_all(), Ok(()), "{role}");
    }
    let keys = shared(&[("keys.url", "postgres://keys@elsewhere/keys?schema=k")]);
    let Family::Distributed(urls) = keys.family().unwrap() else { panic!("it is shared") };
    assert_eq!(urls.keys.to_string(), "postgres://keys@elsewhere/keys?schema=k");
}

#[test]
fn a_provider_of_one_process_is_refused_to_several() {
    for (key, _) in NAMED {
        let own = shared(&[("roles.run", "sagas"), (key, "simulator:")]);
        let error = own.check_all().unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("simulator:<directory>"), "{error}");
    }
    assert_eq!(shared(&[("roles.run", "sagas")]).check_all(), Ok(()));
}

// proves: PAY-1, SHP-1
#[test]
fn nobody_simulates_unawares() {
    for (key, _) in NAMED {
        let others: Vec<_> = NAMED.into_iter().filter(|(named, _)| *named != key).collect();
        let embedded = layers(&[], &others).load().unwrap().check_all().unwrap_err().to_string();
        assert!(embedded.contains(key) && embedded.contains("simulator:"), "{embedded}");
        let apart = [&SHARED[..], &others[..], &[("roles.run", "sagas")]].concat();
        assert!(layers(&[], &apart).load().unwrap().check_all().unwrap_err().to_string().contains(key));
        // Who drives no orders needs neither.
        let apart = [&SHARED[..], &[("roles.run", "query-api")]].concat();
        assert_eq!(layers(&[], &apart).load().unwrap().check_all(), Ok(()));
    }
}

// proves: OPS-2
#[test]
fn directories_that_can_t_be_are_refused_before_anything_is_made() {
    let (long, deep) = ("x".repeat(256), "a/".repeat(2_100));
    for bad in ["", "a\0b", &long, &deep] {
        for (key, url) in [
            ("data.dir", bad.to_owned()),
            ("log.url", format!("sqlite:{bad}")),
            ("read.url", format!("sqlite:{bad}")),
        ] {
            if bad.is_empty() && key != "data.dir" {
                continue;
            }
            let error = layers(&[], &[(key, &url)]).load().unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("no directory"), "{key}: {error}");
        }
    }
    for odd in ["file:x", "a b", "-", "%41", "a?b#c", "Ünïcode", "new\nline", "'"] {
        assert_eq!(layers(&[], &[("data.dir", odd)]).load().unwrap().data.dir.to_str(), Some(odd));
    }
}

#[test]
fn an_address_that_peers_can_t_reach_is_refused() {
    let error = shared(&[("http.listen", "0.0.0.0:8080")]).check_all().unwrap_err().to_string();
    assert!(error.contains("http.advertise"), "{error}");
    let named = shared(&[("http.listen", "0.0.0.0:8080"), ("http.advertise", "shop-1:8080")]);
    assert_eq!(named.check_all(), Ok(()));
    assert_eq!(named.advertised(named.http.listen), "shop-1:8080");
    assert_eq!(shared(&[("http.listen", "0.0.0.0:8080"), ("roles.run", "projections")]).check_all(), Ok(()));
}

#[test]
fn families_of_backends_don_t_mix() {
    for n in 0..SHARED.len() {
        let config = layers(&[], &SHARED[n..=n]).load().unwrap();
        let error = config.check_all().unwrap_err().to_string();
        assert!(error.contains("don't work together") && error.contains(SHARED[n].0), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(shared(&[("keys.url", "sqlite:")]).check_all().is_err());
    assert!(layers(&[], &[("keys.url", "postgres://k@pg/shop")]).load().unwrap().check_all().is_err());
    let own = [&NAMED[..], &[("keys.url", "sqlite:")]].concat();
    assert_eq!(layers(&[], &own).load().unwrap().check_all(), Ok(()));
}

#[test]
fn variables_that_kubernetes_makes_are_passed_over() {
    let env = [
        ("TILLSTREAM_SERVICE_HOST", "10.0.0.1"),
        ("TILLSTREAM_QUERY_API_SERVICE_PORT", "8080"),
        ("TILLSTREAM_SERVICE_PORT_HTTP", "8080"),
        ("TILLSTREAM_PORT", "tcp://10.0.0.1:8080"),
        ("TILLSTREAM_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("TILLSTREAM_PORT_8080_TCP_PROTO", "tcp"),
        ("TILLSTREAM_PORT_8080_TCP_PORT", "8080"),
        ("TILLSTREAM_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(layers(&env, &[]).load().unwrap(), Config::default());
}

// proves: OPS-8
#[test]
fn what_only_looks_like_one_of_kubernetes_is_refused_as_a_mistake() {
    for (name, value) in [
        ("TILLSTREAM_HTTP_PORT", "8081"),
        ("TILLSTREAM_PORT", "8081"),
        ("TILLSTREAM_PORT_HTTP", "8081"),
        ("TILLSTREAM_PORT_8080", "tcp"),
        ("TILLSTREAM_SERVICE_PORT", "http"),
    ] {
        let error = layers(&[(name, value)], &[]).load().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

// proves: OPS-1, OPS-8
#[test]
fn variables_of_the_repository_s_scripts_are_no_settings() {
    let env = [("TILLSTREAM_ENGINES_DIR", "/srv/engines"), ("TILLSTREAM_ENGINES_SET", "mine")];
    assert_eq!(layers(&env, &[]).load().unwrap(), Config::default());
}

#[test]
fn separate_roles_need_shared_backends() {
    let config = layers(&[], &[("roles.run", "sagas")]).load().unwrap();
    let error = config.check_all().unwrap_err().to_string();
    assert!(error.contains("sagas") && error.contains("embedded"), "{error}");
    let every = [&NAMED[..], &[("roles.run", "command-api, projections,query-api,sagas")]].concat();
    assert_eq!(layers(&[], &every).load().unwrap().check_all(), Ok(()));
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
