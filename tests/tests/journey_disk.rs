//! A disk that takes nothing more: commands fail with 503, nothing acknowledged is lost, and it goes on when there is space.
//!
//! The process's own limit of file sizes plays the full disk: it needs no privilege, and the server meets the same failing
//! writes. (`prlimit`, of util-linux, changes the limit of a running process.)

use std::process::Command;

use tests::server::{Start, binary, eventually};
use tests::shop::{SETTLES_WITHIN, Shop, ok, order_of};

fn limit(pid: u32, soft: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--fsize={soft}:unlimited")])
        .status();
    assert!(status.expect("prlimit (util-linux) is there").success());
}

/// A write beyond the limit fails, rather than ending the process by SIGXFSZ.
fn failing_writes(start: Start) -> Start {
    start.wrapped(&["bash", "-c", "trap '' XFSZ; exec \"$@\"", "bash"])
}

// proves: OPS-3, P3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_answers_503_and_recovers_when_there_is_space() {
    let mut shop = Shop::open_with(failing_writes).await;
    let product = shop.product("DISK-1", 1_000, 10_000).await;
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        acknowledged.push(shop.order(&shop.customer, &product, 1, "tok_visa").await.id());
    }
    for order in &acknowledged {
        let _ = shop.settled(order, &["paid"]).await;
    }

    limit(shop.server.pid(), "0");
    let mut unanswered = Vec::new();
    for n in 0..20 {
        let key = format!("full-{n}");
        let call = shop.customer.post("/api/v1/orders", &order_of(&product, 1, "tok_visa")).key(&key);
        let reply = ok(call.send().await);
        assert_eq!(reply.status, 503, "{}", reply.text);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert!(!reply.header("retry-after").is_empty());
        unanswered.push(key);
        if n >= 3 && reply.problem() == "outcome-unknown" {
            break;
        }
    }
    eventually("readiness to fail", SETTLES_WITHIN, || async {
        (ok(shop.server.client().get("/health/ready").await).status == 503).then_some(())
    })
    .await;
    // What was decided before can still be read.
    let path = format!("/api/v1/orders/{}", acknowledged[0]);
    ok(shop.customer.get(&path).await).expect(200);
    ok(shop.server.client().get("/health/live").await).expect(200);

    limit(shop.server.pid(), "unlimited");
    for key in unanswered {
        let order = eventually("the order to be accepted again", SETTLES_WITHIN, || async {
            let call = shop.customer.post("/api/v1/orders", &order_of(&product, 1, "tok_visa")).key(&key);
            let reply = ok(call.send().await);
            assert!(matches!(reply.status, 201 | 409 | 503), "{}", reply.text);
            (reply.status == 201).then(|| reply.id())
        })
        .await;
        acknowledged.push(order);
    }
    for order in &acknowledged {
        let _ = shop.settled(order, &["paid"]).await;
    }
    let unique: std::collections::BTreeSet<&String> = acknowledged.iter().collect();
    assert_eq!(unique.len(), acknowledged.len());
    shop.stock(&product, 10_000, i64::try_from(acknowledged.len()).unwrap()).await;
    eventually("readiness to come back", SETTLES_WITHIN, || async {
        (ok(shop.server.client().get("/health/ready").await).status == 200).then_some(())
    })
    .await;

    assert!(shop.server.terminate().unwrap().success());
    let verified = tests::server::tillstream(&["verify", "--data-dir", shop.server.dir.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
}

// proves: OPS-3
#[test]
fn a_read_only_directory_is_refused_with_its_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    // Everybody may look, nobody but root may write; and root is not asked to try.
    std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (dir, copy) = (temp.path().join("data"), temp.path().join("tillstream"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o555)).unwrap();
    std::fs::copy(binary(), &copy).unwrap();
    let root =
        String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0";
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
        command
    } else {
        Command::new(&copy)
    };
    command.current_dir(temp.path()).arg("serve").arg("--data-dir").arg(&dir).args([
        "--listen",
        "127.0.0.1:0",
        "--set",
        "payments.url=simulator:",
        "--set",
        "carrier.url=simulator:",
    ]);
    let ended = tests::server::clean(&mut command).output().unwrap();
    assert!(!ended.status.success());
    let error = String::from_utf8_lossy(&ended.stderr);
    assert!(error.contains(dir.to_str().unwrap()), "{error}");
}

/// The read models' disk stalls: orders are put off rather than taken far ahead of what their customers can see, and taken again afterwards.
// proves: SEC-10, OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_that_stand_still_put_orders_off() {
    let shop = Shop::open().await;
    let product = shop.product("DISK-2", 1_000, 10_000).await;
    let place = async || {
        let key = uuid::Uuid::now_v7().to_string();
        let call = shop.customer.post("/api/v1/orders", &order_of(&product, 1, "tok_visa")).key(&key);
        let reply = ok(call.send().await);
        assert!(reply.status == 201 || reply.problem() == "overloaded", "{}", reply.text);
        reply
    };
    let rows = rusqlite::Connection::open(shop.server.dir.join("read.db")).expect("the read models");
    // The writer waits for some seconds; what fails afterwards is an outage, which holds nobody up. So on a slow machine it may take another round.
    let put_off = eventually("an order to be put off", SETTLES_WITHIN, || async {
        rows.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let stalled = std::time::Instant::now();
        let mut put_off = None;
        while put_off.is_none() && stalled.elapsed() < std::time::Duration::from_secs(5) {
            put_off = Some(place().await).filter(|reply| reply.status == 503);
        }
        rows.execute_batch("ROLLBACK").expect("the lock is given back");
        put_off
    })
    .await;
    assert!(!put_off.header("retry-after").is_empty());
    let order = eventually("orders to be taken again", SETTLES_WITHIN, || async {
        let reply = place().await;
        (reply.status == 201).then(|| reply.id())
    })
    .await;
    shop.settled(&order, &["paid"]).await;
}
