//! Files that don't belong together: an older log beside newer read models, files of another store, a log that is gone. What was made
//! from something else is never served, and nothing is taken for a new store that isn't one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::server::{Start, eventually, tillstream};
use tests::shop::{SETTLES_WITHIN, Shop, ok, pages};

/// Every file below a directory, with what it holds.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => drop(all.insert(path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    all
}

fn copy_dir(from: &Path, to: &Path) {
    for (file, contents) in files(from) {
        let place = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, contents).unwrap();
    }
}

/// What a start says that is refused, with everything as it was.
fn refused(dir: &Path) -> String {
    // What an earlier start said.
    let _ = std::fs::remove_file(dir.with_extension("log"));
    let before = files(dir);
    let error = Start::serve(dir).start().expect_err("it is refused").to_string();
    let after = files(dir);
    for (path, contents) in &before {
        assert!(after.get(path) == Some(contents), "{} was changed: {error}", path.display());
    }
    let made: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(made.is_empty(), "{made:?} was made: {error}");
    error
}

async fn listed(shop: &Shop) -> Vec<String> {
    let products = pages(&shop.stranger, "/api/v1/products?limit=100").await;
    products.iter().map(|product| product["id"].as_str().unwrap().to_owned()).collect()
}

/// Its answer carries the token by which it must be seen at once.
async fn new_product(shop: &Shop, sku: &str) -> String {
    let body = serde_json::json!({
        "sku": sku, "name": format!("Product {sku}"), "description": "", "category": "things",
        "price": { "amount": 500, "currency": "EUR" },
    });
    let made = ok(shop.admin.post("/api/v1/products", &body).send().await).expect(201);
    let (id, token) = (made.id(), made.header("sync-token").to_owned());
    assert!(!token.is_empty());
    let path = format!("/api/v1/products/{id}");
    let seen = shop.stranger.call(reqwest::Method::GET, &path).header("Sync-Token", &token).send().await;
    assert_eq!(ok(seen).expect(200).id(), id);
    id
}

fn verified(dir: &Path) {
    for command in ["verify", "conservation"] {
        let done = tillstream(&[command, "--data-dir", dir.to_str().unwrap()]);
        assert_eq!(done.code, 0, "{command}: {}{}", done.out, done.err);
    }
}

/// An operator restores yesterday's log, and does as the program advises.
// proves: EVT-7, EVT-3, QRY-1, SAG-1, PAY-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_log_beside_newer_files_is_what_is_served() {
    let mut shop = Shop::open().await;
    let product = shop.product("KEPT-1", 1_000, 100).await;
    let order = shop.order(&shop.customer, &product, 1, "tok_visa").await.id();
    shop.settled(&order, &["paid"]).await;
    assert!(shop.server.terminate().unwrap().success());
    let (log, older) = (shop.server.dir.join("log.db"), shop.beside("older.db"));
    std::fs::copy(&log, &older).unwrap();

    shop.restart();
    let mut lost = Vec::new();
    for n in 0..20 {
        lost.push(shop.product(&format!("LOST-{n}"), 1_000, 10).await);
    }
    let unknown = shop.order(&shop.customer, &lost[0], 1, "tok_visa").await.id();
    shop.settled(&unknown, &["paid"]).await;
    let charged = shop.charges().await.len();
    assert!(shop.server.terminate().unwrap().success());

    std::fs::copy(&older, &log).unwrap();
    let advice = refused(&shop.server.dir);
    assert!(advice.contains("delete derived.db"), "{advice}");
    std::fs::remove_file(shop.server.dir.join("derived.db")).unwrap();
    shop.restart();
    for n in 0..20 {
        let id = new_product(&shop, &format!("NEW-{n}")).await;
        assert!(listed(&shop).await.contains(&id));
    }
    let all = listed(&shop).await;
    assert!(all.contains(&product) && !lost.iter().any(|id| all.contains(id)), "{all:?}");
    let found = pages(&shop.stranger, "/api/v1/products/search?q=LOST&limit=100").await;
    assert_eq!(found, Vec::<Value>::new());
    assert_eq!(ok(shop.admin.get(&format!("/api/v1/orders/{unknown}")).await).status, 404);
    // The order of before was settled, and stays so; new ones are fulfilled.
    shop.settled(&order, &["paid"]).await;
    let fresh = shop.order(&shop.customer, &product, 2, "tok_visa").await.id();
    shop.settled(&fresh, &["paid"]).await;
    shop.stock(&product, 100, 3).await;
    assert_eq!(shop.charges().await.len(), charged + 1);
    eventually("the health to be up", SETTLES_WITHIN, || async {
        (ok(shop.stranger.get("/health").await).text_at("/status") == "up").then_some(())
    })
    .await;
    assert!(shop.server.terminate().unwrap().success());
    verified(&shop.server.dir);
}

/// The restored log goes on with other events, and then gets the files of the other one beside it: nothing is ahead of anything.
// proves: EVT-7, EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_files_beside_a_log_that_went_on_otherwise_are_made_anew() {
    let mut shop = Shop::open().await;
    let product = shop.product("BOTH-1", 1_000, 100).await;
    assert!(shop.server.terminate().unwrap().success());
    let (dir, older, newer) = (shop.server.dir.clone(), shop.beside("older"), shop.beside("newer"));
    copy_dir(&dir, &older);
    shop.restart();
    let lost = shop.product("LOST-1", 1_000, 10).await;
    assert!(shop.server.terminate().unwrap().success());
    copy_dir(&dir, &newer);

    std::fs::remove_dir_all(&dir).unwrap();
    copy_dir(&older, &dir);
    shop.restart();
    let mut kept = vec![product.clone()];
    for n in 0..30 {
        kept.push(shop.product(&format!("OTHER-{n}"), 1_000, 10).await);
    }
    assert!(shop.server.terminate().unwrap().success());
    for name in ["derived.db", "read.db"] {
        std::fs::copy(newer.join(name), dir.join(name)).unwrap();
    }
    std::fs::remove_dir_all(dir.join("search")).unwrap();
    copy_dir(&newer.join("search"), &dir.join("search"));
    shop.restart();
    kept.push(new_product(&shop, "LAST-1").await);
    let all = listed(&shop).await;
    assert!(kept.iter().all(|id| all.contains(id)) && !all.contains(&lost), "{all:?}");
    assert_eq!(all.len(), kept.len());
    assert!(shop.server.terminate().unwrap().success());
    verified(&dir);
}

/// Each file by itself, and each is named.
// proves: EVT-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_another_store_are_refused_by_name() {
    let mut shops = [Shop::open().await, Shop::open().await];
    for (n, shop) in shops.iter_mut().enumerate() {
        shop.product(&format!("SHOP-{n}"), 1_000, 10).await;
        assert!(shop.server.terminate().unwrap().success());
    }
    let [shop, other] = &mut shops;
    let own = shop.beside("own");
    copy_dir(&shop.server.dir, &own);
    for name in ["read.db", "derived.db", "search"] {
        let (mine, theirs) = (shop.server.dir.join(name), other.server.dir.join(name));
        match mine.is_dir() {
            true => {
                std::fs::remove_dir_all(&mine).unwrap();
                copy_dir(&theirs, &mine);
            }
            false => drop(std::fs::copy(&theirs, &mine).unwrap()),
        }
        let error = refused(&shop.server.dir);
        assert!(error.contains(mine.to_str().unwrap()), "{name}: {error}");
        assert!(error.contains("made from the log of the store"), "{name}: {error}");
        for command in ["conservation", "rebuild"] {
            let before = files(&shop.server.dir);
            let done = tillstream(&[command, "--data-dir", shop.server.dir.to_str().unwrap()]);
            assert_ne!(done.code, 0, "{command}: {}", done.out);
            assert_eq!(files(&shop.server.dir), before, "{command}");
        }
        // The way out that it names: what was made from a log is made again from it.
        match mine.is_dir() {
            true => std::fs::remove_dir_all(&mine).unwrap(),
            false => std::fs::remove_file(&mine).unwrap(),
        }
        shop.restart();
        assert_eq!(listed(shop).await.len(), 1);
        assert!(shop.server.terminate().unwrap().success());
        verified(&shop.server.dir);
    }
}

/// It is no new shop while anything else is there.
// proves: EVT-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_is_refused_and_nothing_is_touched() {
    let mut shop = Shop::open().await;
    let product = shop.product("ONLY-1", 1_000, 10).await;
    let order = shop.order(&shop.customer, &product, 1, "tok_visa").await.id();
    shop.settled(&order, &["paid"]).await;
    assert!(shop.server.terminate().unwrap().success());
    let dir = shop.server.dir.clone();
    let (log, kept) = (dir.join("log.db"), shop.beside("kept.db"));
    std::fs::rename(&log, &kept).unwrap();
    for empty in [false, true] {
        if empty {
            std::fs::write(&log, b"").unwrap();
        }
        let error = refused(&dir);
        assert!(error.contains(log.to_str().unwrap()) && error.contains("put the file back"), "{error}");
    }
    std::fs::remove_file(&log).unwrap();
    // Whichever file is left of them.
    let left = shop.beside("left");
    for name in ["derived.db", "read.db", "search", "keys.db", "simulator.db"] {
        std::fs::create_dir(&left).unwrap();
        match dir.join(name).is_dir() {
            true => copy_dir(&dir.join(name), &left.join(name)),
            false => drop(std::fs::copy(dir.join(name), left.join(name)).unwrap()),
        }
        let error = refused(&left);
        assert!(error.contains(left.join(name).to_str().unwrap()), "{name}: {error}");
        std::fs::remove_dir_all(&left).unwrap();
    }
    std::fs::rename(&kept, &log).unwrap();
    shop.restart();
    assert_eq!(listed(&shop).await, [product]);
}

/// No row of the log is left, and the file is the right one.
// proves: EVT-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_any_event_beside_read_models_is_refused() {
    let mut shop = Shop::open().await;
    shop.product("ONLY-1", 1_000, 10).await;
    assert!(shop.server.terminate().unwrap().success());
    let emptied = rusqlite::Connection::open(shop.server.dir.join("log.db")).unwrap();
    emptied.execute("DELETE FROM log", []).unwrap();
    drop(emptied);
    assert!(refused(&shop.server.dir).contains("derived.db"));
    std::fs::remove_file(shop.server.dir.join("derived.db")).unwrap();
    let error = Start::serve(&shop.server.dir).start().expect_err("it is refused").to_string();
    assert!(error.contains("read.db") && error.contains("put the file back"), "{error}");
}

/// A name that is mistyped must not become a store.
// proves: EVT-7, OPS-3
#[test]
fn commands_that_must_find_a_store_make_none() {
    let temp = tempfile::tempdir().unwrap();
    let (missing, empty) = (temp.path().join("mistyped"), temp.path().join("empty"));
    std::fs::create_dir(&empty).unwrap();
    let id = uuid::Uuid::nil().to_string();
    let commands: [&[&str]; 8] = [
        &["verify"],
        &["conservation"],
        &["rebuild"],
        &["rebuild", "orders"],
        &["redrive", "orders"],
        &["redrive", "search"],
        &["history", "order", &id],
        &["frame", "0", "1"],
    ];
    for command in commands {
        for dir in [&missing, &empty] {
            let done = tillstream(&[command, &["--data-dir", dir.to_str().unwrap()]].concat());
            assert_ne!(done.code, 0, "{command:?}: {}", done.out);
            assert!(done.err.contains(dir.to_str().unwrap()), "{command:?}: {}", done.err);
            assert!(
                !missing.exists() && files(&empty).is_empty(),
                "{command:?} made {:?}",
                files(temp.path())
            );
        }
    }
}

/// Rows that the log doesn't hold are a difference, wherever they are.
// proves: EVT-7, AUD-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conservation_sees_what_a_copy_holds_beyond_the_log() {
    let mut shop = Shop::open().await;
    shop.product("ONLY-1", 1_000, 10).await;
    assert!(shop.server.terminate().unwrap().success());
    let dir = shop.server.dir.to_str().unwrap().to_owned();
    let check = || tillstream(&["conservation", "--data-dir", &dir]);
    assert_eq!(check().code, 0);
    let read = rusqlite::Connection::open(shop.server.dir.join("read.db")).unwrap();
    for change in [
        "UPDATE checkpoints SET position = position + 1 WHERE projection = 'orders' AND shard = 3",
        "INSERT INTO events (shard, n, event_version, event_id) VALUES (5, 4000, 1, x'00000000000000000000000000000001')",
    ] {
        read.execute_batch("SAVEPOINT as_it_was").unwrap();
        assert_eq!(read.execute(change, []).unwrap(), 1);
        read.execute_batch("RELEASE as_it_was").unwrap();
        let done = check();
        assert_eq!(done.code, 1, "{change}: {}{}", done.out, done.err);
        assert!(done.out.contains("the log ends at"), "{}", done.out);
        let undo = change.replace("position + 1", "position - 1");
        let undo = if undo == change { "DELETE FROM events WHERE n = 4000".to_owned() } else { undo };
        assert_eq!(read.execute(&undo, []).unwrap(), 1);
        assert_eq!(check().code, 0);
    }
}

/// What the running comparison finds is a fault of the server's, and keeps nobody from being answered.
// proves: EVT-7, OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_that_the_running_comparison_finds_is_a_fault() {
    let shop = Shop::open_with(|start| start.set("conservation.every", "1s")).await;
    shop.product("ONLY-1", 1_000, 10).await;
    let read = rusqlite::Connection::open(shop.server.dir.join("read.db")).unwrap();
    read.busy_timeout(SETTLES_WITHIN).unwrap();
    let surplus = "INSERT INTO events (shard, n, event_version, event_id) \
                   VALUES (5, 4000, 1, x'00000000000000000000000000000001')";
    assert_eq!(read.execute(surplus, []).unwrap(), 1);
    let told = eventually("the difference to be told", SETTLES_WITHIN, || async {
        let health = ok(shop.stranger.get("/health").await).expect(200);
        let faults = health.body["faults"].as_array().cloned().unwrap_or_default();
        faults.into_iter().find(|fault| fault["pointer"] == "/conservation/shards/5")
    })
    .await;
    assert!(told["detail"].as_str().unwrap().contains("5:4000"), "{told}");
    let health = ok(shop.stranger.get("/health").await).expect(200);
    assert_eq!(health.text_at("/status"), "degraded");
    ok(shop.stranger.get("/health/ready").await).expect(200);
}
