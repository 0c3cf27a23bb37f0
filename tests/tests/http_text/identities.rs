//! Who somebody is: one account for all spellings of an address, and accounts of the past still let in.

use std::sync::Arc;

use command_api::web::CommandState;
use domain::command::{CommandId, CommandRequest, Step};
use domain::identity::email_claim::EmailClaimCommand;
use domain::identity::user::{Role, UserCommand};
use domain::personal::Sealed;
use domain::stream::{DEFAULT_TENANT, StreamId, draw_id_in_shard};
use infra::serve::App;
use serde_json::json;
use tests::client::Client;

use super::world::{PASSWORD, World, in_process, pointers, refused};

// proves: USR-1
#[tokio::test(flavor = "multi_thread")]
async fn all_spellings_of_an_address_are_one_account() {
    let world = World::start().await;
    let login = async |email: &str, password: &str| {
        let body = json!({"email": email, "password": password});
        world.server.client().post("/api/v1/auth/login", &body).send().await.unwrap()
    };
    for spellings in [
        ["jos\u{e9}@example.org", "jose\u{301}@example.org", "JOSE\u{301}@Example.ORG"],
        ["ann@m\u{fc}ller.example", "ann@mu\u{308}ller.example", "ann@XN--mller-kva.example"],
        ["bob@mu\u{308}nchen.example", "bob@münchen.example", "BOB@MÜNCHEN。example"],
        ["eve@example.net", "ｅｖｅ@example.net", "eve@ｅｘａｍｐｌｅ.net"],
        ["kim@example.net", "kim@exam\u{ad}ple.net", "kim@exam\u{200b}ple.net"],
    ] {
        let made = world.sign_up(spellings[0], "Ada").await.expect(201);
        assert_eq!(made.text_at("/email"), spellings[0], "what was typed is kept");
        for spelling in spellings {
            refused(&world.sign_up(spelling, "Eve").await, 409, "email-taken");
            login(spelling, PASSWORD).await.expect(200);
        }
    }
    for look_alike in [
        "jo\u{200b}se@example.org",
        "jos\u{ad}e@example.org",
        "jose\u{2060}@example.org",
        "\u{202e}esoj@example.org",
        "jose\u{200d}@example.org",
        "jose@xn--example-.org",
        "jose @example.org",
    ] {
        let reply = world.sign_up(look_alike, "Eve").await;
        refused(&reply, 422, "validation-failed");
        assert_eq!(pointers(&reply), ["/email"], "{look_alike:?}");
        refused(&login(look_alike, PASSWORD).await, 401, "invalid-credentials");
    }
}

// proves: USR-1
#[tokio::test(flavor = "multi_thread")]
async fn two_keyboards_type_one_password_and_names_show_something() {
    let world = World::start().await;
    let sign_up = async |email: &str, password: &str, name: &str| {
        let body = json!({"email": email, "password": password, "name": name});
        world.server.client().post("/api/v1/users", &body).send().await.unwrap()
    };
    sign_up("a@example.org", "pa\u{308}sswo\u{308}rd\u{a0}1", "Zoë ❤\u{fe0f}").await.expect(201);
    world.server.client().login("a@example.org", "p\u{e4}ssw\u{f6}rd 1").await.unwrap();
    let made = sign_up("b@example.org", "p\u{e4}ssw\u{f6}rd 1", "علی\u{200c}رضا").await.expect(201);
    let b = world.server.client().login("b@example.org", "pa\u{308}sswo\u{308}rd 1").await.unwrap();
    for password in ["pass\u{200b}word", "pass\u{7}word", "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}"] {
        let reply = sign_up("c@example.org", password, "C").await;
        refused(&reply, 422, "validation-failed");
        assert_eq!(pointers(&reply), ["/password"], "{password:?}");
        assert!(!reply.text.contains(password));
    }
    let me = b.call(reqwest::Method::GET, "/api/v1/users/me").seen(made.header("sync-token"));
    let me = me.send().await.unwrap().expect(200);
    assert_eq!(me.text_at("/name"), "علی\u{200c}رضا", "what was typed is kept");
    for name in
        ["\u{200b}", "\u{3164}", "\u{2800}\u{2800}", "Ann\u{202e}", "A\u{ad}nn", "\u{200b}Ann", " \u{a0} "]
    {
        let reply = sign_up("c@example.org", PASSWORD, name).await;
        refused(&reply, 422, "validation-failed");
        assert_eq!(pointers(&reply), ["/name"], "{name:?}");
        let body = json!({"name": name});
        let reply = b.put("/api/v1/users/me", &body).header("if-match", "*").send().await.unwrap();
        refused(&reply, 422, "validation-failed");
    }
    // Lines of other texts show something too.
    for name in ["\u{200b}", "\u{3164}\u{2800}"] {
        let reply = world.create(&super::world::with(&super::world::product("X-1"), "/name", name)).await;
        assert_eq!(pointers(&reply), ["/name"], "{name:?}");
    }
}

/// An account as the program made it that compared addresses in lower case only and hashed passwords as they were typed.
async fn of_yesterday(state: &CommandState, email: &str, password: &str) -> (String, String) {
    let claim = StreamId::new(DEFAULT_TENANT, "email_claim", state.keys.blind(&email.trim().to_lowercase()));
    let shards = state.gateway.shards();
    let user_id = draw_id_in_shard(DEFAULT_TENANT, "user", claim.shard(shards), shards);
    let user = StreamId::new(DEFAULT_TENANT, "user", user_id);
    let sealed = state.keys.seal(&user, &[email, "Ada", &raw_hash(password)]).await.unwrap();
    let [email, name, password_hash] = <[Sealed; 3]>::try_from(sealed).unwrap();
    let register = UserCommand::Register {
        email_claim: claim.id().to_owned(),
        email,
        name,
        password_hash,
        roles: vec![Role::Customer],
    };
    let steps = vec![Step::new(claim, EmailClaimCommand::Claim { user_id }), Step::create(user, register)];
    let command = CommandRequest::new(CommandId::fresh(), "system:yesterday", steps);
    let accepted = state.gateway.submit(command).await.unwrap();
    (user_id.to_string(), accepted.token().to_string())
}

fn raw_hash(password: &str) -> String {
    use argon2::PasswordHasher as _;
    argon2::Argon2::default().hash_password(password.as_bytes()).unwrap().to_string()
}

// proves: USR-1, OPS-12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_of_the_program_before_log_in_and_stay_one() {
    let temp = tempfile::tempdir().unwrap();
    let config = in_process(&temp.path().join("data"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app =
        Arc::new(Box::pin(App::open(&infra::shop::application(&config), &config, address)).await.unwrap());
    let serving = tokio::spawn(axum::serve(listener, app.router.clone()).into_future());
    let state = app.command_state().unwrap().clone();
    let client = Client::new(&format!("http://{address}"));
    let user_of = async |email: &str, password: &str, token: &str| {
        let someone = client.login(email, password).await.unwrap();
        let me = someone.call(reqwest::Method::GET, "/api/v1/users/me").seen(token);
        me.send().await.unwrap().expect(200).text_at("/id").to_owned()
    };
    let sign_up = async |email: &str| {
        let body = json!({"email": email, "password": PASSWORD, "name": "Eve"});
        client.post("/api/v1/users", &body).send().await.unwrap()
    };

    for (email, password, typed_today) in [
        ("plain@example.org", PASSWORD, vec!["plain@example.org", "PLAIN@example.org"]),
        (
            "Jose\u{301}@example.org",
            "pa\u{308}ssword",
            vec!["jose\u{301}@example.org", "jos\u{e9}@example.org"],
        ),
        ("zo\u{eb}@example.org", "p\u{e4}ssword", vec!["zo\u{eb}@example.org", "zoe\u{308}@example.org"]),
        (
            "ann@müller.example",
            "pass\u{200b}word",
            vec!["ann@mu\u{308}ller.example", "ann@xn--mller-kva.example"],
        ),
        ("bob@xn--mnchen-3ya.example", PASSWORD, vec!["bob@münchen.example", "bob@xn--mnchen-3ya.example"]),
        ("hid\u{200b}den@example.org", PASSWORD, vec!["hid\u{200b}den@example.org"]),
    ] {
        let (id, token) = of_yesterday(&state, email, password).await;
        for typed in typed_today {
            assert_eq!(user_of(typed, password, &token).await, id, "{typed:?}");
            let status = sign_up(typed).await.status;
            assert!(status == 409 || (status == 422 && typed.contains('\u{200b}')), "{typed:?}: {status}");
        }
    }
    // Two accounts that were told apart stay two: each is reached as it was typed.
    let (one, first) = of_yesterday(&state, "ren\u{e9}@example.org", "the first of two").await;
    let (two, second) = of_yesterday(&state, "rene\u{301}@example.org", "the second of two").await;
    assert_eq!(user_of("ren\u{e9}@example.org", "the first of two", &first).await, one);
    assert_eq!(user_of("rene\u{301}@example.org", "the second of two", &second).await, two);
    refused(&sign_up("RENÉ@example.org").await, 409, "email-taken");
    serving.abort();
    app.stop().await;
}
