//! The demo, as a newcomer runs it.

use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;
use tests::server::{Start, binary, clean, tillstream};
use tests::shop::{SETTLES_WITHIN, ok, pages};

// proves: OPS-1
#[tokio::test]
async fn the_demo_plays_its_stories_serves_and_plays_nothing_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("demo");
    let file = dir.join("demo-credentials.json");
    let start = Start::demo(&dir);
    let (mut server, printed) = start.start_telling().unwrap();
    for word in [
        "Story 1",
        "Story 2",
        "Story 3",
        "order.placed",
        "inventory.reserved",
        "payment.captured",
        "shipment.created",
        "order.completed",
        "payment.declined",
        "inventory.released",
        "order.cancelled",
        "order.rejected",
        "out_of_stock",
    ] {
        assert!(printed.contains(word), "{word} is missing in\n{printed}");
    }
    assert!(!printed.contains('\u{1b}'), "no colours where there is no terminal");

    let credentials = std::fs::read_to_string(&file).unwrap();
    let all: Value = serde_json::from_str(&credentials).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 8);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let auditor = server.login(&file, "auditor").await.unwrap();
    let events = pages(&auditor, "/api/v1/audit/events?limit=100").await;
    let orders = |events: &[Value]| events.iter().filter(|event| event["type"] == "order.placed").count();
    assert_eq!(orders(&events), 4);
    assert!(server.terminate().unwrap().success());

    let (server, again) = start.start_telling().unwrap();
    assert!(!again.contains("Story 1"), "{again}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), credentials);
    let auditor = server.login(&file, "auditor").await.unwrap();
    assert_eq!(orders(&pages(&auditor, "/api/v1/audit/events?limit=100").await), 4);
}

// proves: OPS-1
#[tokio::test]
async fn a_demo_that_was_killed_while_it_set_up_is_completed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("demo");
    // Killed as soon as there is something of it on the disk: after the lock, the credentials, the first megabyte of log.
    for sign in ["lock", "demo-credentials.json", "simulator.db"] {
        let mut child = clean(&mut std::process::Command::new(binary()))
            .args(["demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tests::server::eventually("the sign to appear", SETTLES_WITHIN, || {
            let there = dir.join(sign).exists();
            async move { there.then_some(()) }
        })
        .await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (server, _) = Start::demo(&dir).start_telling().unwrap();
    let auditor = server.login(&dir.join("demo-credentials.json"), "auditor").await.unwrap();
    let events = pages(&auditor, "/api/v1/audit/events?limit=100").await;
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("user.registered"), count("product.created"), count("order.placed")), (8, 12, 4));
    let charges = pages(&server.client(), "/simulator/charges?limit=100").await;
    assert_eq!(charges.iter().filter(|charge| charge["captured"]["amount"] != 0).count(), 2);
    ok(server.client().get("/docs").await);
}

// proves: OPS-1, OPS-2
#[tokio::test]
async fn a_demo_that_is_told_to_stop_while_it_sets_up_ends_well() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("demo");
    // Told while it makes the accounts, again and again: whichever step is on its way is cut short.
    for _ in 0..5 {
        let mut child = clean(&mut std::process::Command::new(binary()))
            .args(["demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        tests::server::eventually("the server to serve", SETTLES_WITHIN, || {
            let there = dir.join("address").exists();
            async move { there.then_some(()) }
        })
        .await;
        tests::server::send("TERM", child.id()).unwrap();
        let ended = tokio::task::spawn_blocking(move || {
            let status = child.wait();
            (status, std::io::read_to_string(child.stderr.take().unwrap()))
        });
        let (status, error) = ended.await.unwrap();
        assert!(status.unwrap().success(), "{}", error.unwrap());
        assert!(!dir.join("demo-played").exists(), "it was over before it could be told to stop");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

// proves: OPS-1
#[test]
fn a_taken_address_is_told_before_anything_is_made() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("demo");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = tillstream(&["demo", "--listen", &address, "--data-dir", dir.to_str().unwrap()]);
    assert_ne!(ended.code, 0);
    assert!(ended.err.contains(&address) && ended.err.contains("in use"), "{}", ended.err);
    assert!(!dir.exists());
}

// proves: OPS-1, OPS-3
#[tokio::test]
async fn a_taken_metrics_port_stops_no_demo() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("demo");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = Start::demo(&dir).set("http.admin_listen", &address).start().unwrap();
    // It is on the shop's own address, for this machine.
    ok(server.client().get("/metrics").await).expect(200);
    drop(taken);
    let operators =
        tests::server::eventually("the operators' listener", SETTLES_WITHIN, async || server.operators())
            .await;
    ok(operators.get("/metrics").await).expect(200);
    ok(server.client().get("/metrics").await).expect(404);
}
