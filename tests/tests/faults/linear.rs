//! Histories of conditional appends and of stock, recorded while owners are killed and paused, judged by porcupine
//! (`tests/linearizability`), which none of this project wrote.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tests::history::History;
use tests::server::eventually;
use tests::shop::{Front, SETTLES_WITHIN, ok, order_of};
use tokio_util::sync::CancellationToken;

use crate::world::{World, play};

/// What clients did and learned, one line of JSON each.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Value>>>);

impl Record {
    fn add(&self, operation: Value) {
        self.0.lock().expect("no panic").push(operation);
    }

    /// How many operations have a known outcome.
    fn known(&self) -> usize {
        self.0.lock().expect("no panic").iter().filter(|operation| operation["result"] != "unknown").count()
    }

    /// How many operations ended so.
    fn count(&self, op: &str, result: &str) -> usize {
        let is = |operation: &&Value| operation["op"] == op && operation["result"] == result;
        self.0.lock().expect("no panic").iter().filter(is).count()
    }

    /// Asks the judge.
    fn judge(&self, world: &World) {
        let file = world.cluster.place().path().join("history.jsonl");
        let lines = self.0.lock().expect("no panic");
        let mut out = std::fs::File::create(&file).expect("a file");
        for line in lines.iter() {
            writeln!(out, "{line}").expect("it can be written");
        }
        drop(lines);
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("linearizability");
        let judged =
            Command::new("go").args(["run", "."]).arg(&file).current_dir(module).output().expect("go runs");
        let said =
            String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
        world.round.tell(said.clone());
        if !judged.status.success() {
            world.round.tell(std::fs::read_to_string(&file).unwrap_or_default());
        }
        assert!(judged.status.success(), "{said}");
        assert!(said.contains("linearizable: "), "{said}");
    }
}

/// Kills and pauses owners until `done`; at least once. Between two faults some operations have a known outcome, however slow the machine
/// is: a history of unknown outcomes says nothing.
async fn disturb(world: &mut World, done: &CancellationToken, record: &Record) {
    loop {
        let n = world.dice.random_range(0..2);
        if world.dice.random_bool(0.5) {
            world.cluster.kill("command-api", n);
            world.cluster.restart("command-api", n).await;
        } else {
            world.cluster.signal("command-api", n, "STOP");
            tokio::time::sleep(Duration::from_millis(world.dice.random_range(100..6_000))).await;
            world.cluster.signal("command-api", n, "CONT");
        }
        let enough = record.known() + world.dice.random_range(4..24);
        while record.known() < enough && !done.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if done.is_cancelled() {
            return;
        }
    }
}

// proves: P1, P3, P4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_under_a_condition_are_linearizable() {
    play("linearizable appends", 2, async |world| {
        const PRODUCTS: usize = 3;
        const EDITORS: usize = 4;
        const EDITS: usize = 25;
        let record = Record::default();
        let front = world.cluster.front.clone();
        let mut editors = Vec::new();
        for product in 0..PRODUCTS {
            let began = world.round.now();
            let created =
                ok(front.admin.post("/api/v1/products", &body(product, 100)).send().await).expect(201);
            record.add(operation("versions", product, 0, began, world.round.now(), "put", 0, "ok", 1));
            for editor in 0..EDITORS {
                let dice = StdRng::seed_from_u64(world.dice.random());
                let (front, record, history) = (front.clone(), record.clone(), (*world.round).clone());
                let id = created.id();
                editors.push(async move {
                    edit(&front, product, &id, editor, EDITS, dice, &record, &history).await;
                });
            }
        }
        let done = CancellationToken::new();
        let all = async {
            join_all(editors).await;
            done.cancel();
        };
        tokio::join!(all, disturb(world, &done, &record));
        let [ok, refused, unknown] = ["ok", "refused", "unknown"].map(|result| record.count("put", result));
        world.round.tell(format!("puts: {ok} accepted, {refused} refused, {unknown} unknown"));
        // What nobody knows the outcome of fits any order: there must be enough of the rest.
        assert!(
            ok > 2 * PRODUCTS * EDITORS && refused > 0 && unknown < ok + refused,
            "{ok}, {refused}, {unknown}"
        );
        record.judge(world);
        world.cluster.holds_together().await;
    })
    .await;
}

#[expect(clippy::too_many_arguments, reason = "the parts of one editor's work")]
async fn edit(
    front: &Front,
    product: usize,
    id: &str,
    editor: usize,
    edits: usize,
    mut dice: StdRng,
    record: &Record,
    history: &History,
) {
    let path = format!("/api/v1/products/{id}");
    let (mut version, mut left) = (1, edits);
    while left > 0 {
        let price = dice.random_range(1..1_000_000);
        let began = history.now();
        let call =
            front.admin.put(&path, &body(product, price)).header("if-match", &format!("\"{version}\""));
        let (result, value) = match call.send().await {
            Ok(reply) if reply.status == 200 => {
                ("ok", reply.header("etag").trim_matches('"').parse().expect("a version"))
            }
            Ok(reply) if reply.status == 412 => ("refused", 0),
            // Not decided as far as anybody knows; no promise is made that it never will be.
            Ok(reply) if reply.status == 503 => ("unknown", 0),
            Ok(reply) => panic!("{} {}", reply.status, reply.text),
            Err(error) if error.is_connect() => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            Err(_) => ("unknown", 0),
        };
        left -= 1;
        let client = product * 10 + editor;
        record.add(operation(
            "versions",
            product,
            client,
            began,
            history.now(),
            "put",
            version,
            result,
            value,
        ));
        if result == "ok" {
            version = value;
        } else {
            // What the read model says may be old, which only means another refusal.
            let seen = front.admin.get(&path).await;
            version = seen.map_or(-1, |reply| reply.number_at("/version")).max(version);
            if dice.random_bool(0.3) {
                version += 1;
            }
        }
    }
}

// proves: INV-2, P1, P4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_is_linearizable() {
    play("linearizable stock", 2, async |world| {
        const PIECES: u64 = 12;
        const BUYERS: usize = 10;
        let record = Record::default();
        let front = world.cluster.front.clone();
        let began = world.round.now();
        let product = front.product("scarce", 500, PIECES).await;
        record.add(operation("stock", 0, 0, began, world.round.now(), "set", PIECES as i64, "ok", 0));
        let buyers = (0..BUYERS).map(|buyer| {
            let dice = StdRng::seed_from_u64(world.dice.random());
            let (front, record, history, product) =
                (front.clone(), record.clone(), (*world.round).clone(), product.clone());
            async move { buy(&front, &product, buyer, dice, &record, &history).await }
        });
        let buyers: Vec<_> = buyers.collect();
        let done = CancellationToken::new();
        let all = async {
            join_all(buyers).await;
            done.cancel();
        };
        tokio::join!(all, disturb(world, &done, &record));
        let [bought, refused] = ["ok", "refused"].map(|result| record.count("reserve", result));
        let given_back = record.count("release", "ok");
        world.round.tell(format!("{bought} bought, {refused} not, {given_back} given back"));
        assert!(bought > 0 && refused > 0 && given_back > 0, "{bought}, {refused}, {given_back}");
        record.judge(world);
        world.cluster.holds_together().await;
    })
    .await;
}

/// Buys, and gives some of it back.
async fn buy(
    front: &Front,
    product: &str,
    buyer: usize,
    mut dice: StdRng,
    record: &Record,
    history: &History,
) {
    for n in 0..5 {
        let pieces = dice.random_range(1..=3_u32);
        let (key, body) = (format!("buy-{buyer}-{n}"), order_of(product, pieces, "tok_visa"));
        let began = history.now();
        let order = eventually("an order to be acknowledged", SETTLES_WITHIN, || async {
            let reply = front.customer.post("/api/v1/orders", &body).key(&key).send().await.ok()?;
            assert!(matches!(reply.status, 201 | 409 | 503), "{}", reply.text);
            (reply.status == 201).then(|| reply.id())
        })
        .await;
        let ended = front.settled(&order, &["paid", "rejected"]).await;
        let bought = ended.text_at("/status") == "paid";
        let result = if bought { "ok" } else { "refused" };
        record.add(operation("stock", 0, buyer, began, history.now(), "reserve", pieces.into(), result, 0));
        if bought && dice.random_bool(0.6) {
            let began = history.now();
            eventually("a cancellation to be acknowledged", SETTLES_WITHIN, || async {
                let path = format!("/api/v1/orders/{order}/cancel");
                let call =
                    front.customer.call(reqwest::Method::POST, &path).key(&format!("back-{buyer}-{n}"));
                let reply = call.send().await.ok()?;
                assert!(matches!(reply.status, 202 | 409 | 503), "{}", reply.text);
                (reply.status == 202).then_some(())
            })
            .await;
            let _ = front.settled(&order, &["cancelled"]).await;
            record.add(operation("stock", 0, buyer, began, history.now(), "release", pieces.into(), "ok", 0));
        }
    }
}

fn body(product: usize, cents: i64) -> Value {
    json!({
        "sku": format!("EDITED-{product}"), "name": "Edited", "description": "Often.", "category": "things",
        "price": { "amount": cents, "currency": "EUR" },
    })
}

#[expect(clippy::too_many_arguments, reason = "the fields of one line")]
fn operation(
    model: &str,
    key: usize,
    client: usize,
    call: u64,
    end: u64,
    op: &str,
    arg: i64,
    result: &str,
    value: i64,
) -> Value {
    json!({
        "model": model, "key": key.to_string(), "client": client, "call": call, "return": end, "op": op, "arg": arg,
        "result": result, "value": value,
    })
}
