//! The same order on Restate, which npm brings as a program: a workflow an order, a virtual object with state a product, and the charge
//! and the booking as journaled steps. The provider and the carrier are the simulator that Tillstream calls, with the same books on disk.
//! The handlers are a process of their own, written with Restate's SDK (see `handlers`).
//!
//! One node with the settings that it comes with, but for addresses, logging and telemetry; then once more with two partitions a core, since it comes
//! with 24, of which each has a log of its own. Variables `RESTATE_…` of the environment reach it. It waits for the disk (fdatasync of the
//! log server's write-ahead log) before the ingress acknowledges and before a step counts: that is checked in its configuration, and
//! printed. An order is accepted when the ingress acknowledged the workflow, and fulfilled when the workflow has ended.

mod handlers;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tests::bench::callers_for;
use tests::server::eventually;
use tests::shop::SETTLES_WITHIN;
use uuid::Uuid;

pub(crate) use handlers::serve_if_asked;

use crate::process::Processes;
use crate::{CALLERS, DECLINED, GIVE_UP, PRODUCTS, REST, Run, at_rate, measured, method, print_paid};

const PACKAGE: &str = "@restatedev/restate-server";
const VERSION: &str = "1.7.12";
/// Where the package keeps the program for this machine.
const BINARY: &str = "node_modules/@restatedev/restate-server-linux-x64/bin/restate-server";
/// Pieces of every product.
const ON_HAND: i64 = 100_000_000;
/// How often is looked whether the orders have ended.
const LOOK: Duration = Duration::from_millis(100);

const ENDED: &str = "SELECT count(*) AS n FROM sys_invocation_status
                     WHERE target_service_name = 'Orders' AND status = 'completed'";
const OUTCOMES: &str = "SELECT value_utf8 AS status, count(*) AS n FROM state
                        WHERE service_name = 'Orders' AND key = 'status' GROUP BY value_utf8";
const RESERVED: &str = "SELECT sum(CAST(value_utf8 AS BIGINT)) AS n FROM state WHERE service_name = 'Stock' AND key = 'reserved'";
const TIMES: &str =
    "SELECT created_at, completed_at FROM sys_invocation_status WHERE target_service_name = 'Orders'";

pub(crate) async fn run() {
    let binary = match binary() {
        Ok(binary) => binary,
        Err(why) => {
            println!("Restate is left out: {why}");
            return;
        }
    };
    measure(&binary, None).await;
    let cores = std::thread::available_parallelism().unwrap().get();
    measure(&binary, Some(2 * cores)).await;
}

async fn measure(binary: &Path, partitions: Option<usize>) {
    let restate = Arc::new(Restate::start(binary, partitions).await);
    let accepted = restate.full_load(partitions).await;
    tokio::time::sleep(REST).await;
    restate.steady(accepted).await;
}

/// The program, installed when it isn't there yet.
fn binary() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("restate-{VERSION}"));
    let binary = place.join(BINARY);
    if !binary.exists() {
        std::fs::create_dir_all(&place).unwrap();
        let installed = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&place)
            .arg(format!("{PACKAGE}@{VERSION}"))
            .stdout(Stdio::null())
            .status()
            .map_err(|error| format!("npm can't be started ({error})"))?;
        if !installed.success() {
            return Err(format!("npm can't install {PACKAGE} {VERSION}: {installed}"));
        }
    }
    if binary.exists() { Ok(binary) } else { Err(format!("{PACKAGE} has no {BINARY}")) }
}

/// A process that ends with this.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Restate {
    server: Kept,
    handlers: Kept,
    ingress: String,
    admin: String,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Restate {
    async fn start(binary: &Path, partitions: Option<usize>) -> Self {
        // Beside the build output, so that it is a disk and not a memory file system.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let [node, ingress, admin] = std::array::from_fn(|_| format!("127.0.0.1:{}", free_port()));
        let mut command = Command::new(binary);
        command
            .args(["--no-logo", "--listen-mode", "tcp", "--node-name", "bench", "--base-dir"])
            .arg(dir.path())
            .env("RESTATE_BIND_ADDRESS", node)
            .env("RESTATE_INGRESS__BIND_ADDRESS", &ingress)
            .env("RESTATE_ADMIN__BIND_ADDRESS", &admin)
            .env("RESTATE_DISABLE_TELEMETRY", "true")
            .env("RESTATE_LOG_FILTER", "warn");
        if let Some(partitions) = partitions {
            command.env("RESTATE_DEFAULT_NUM_PARTITIONS", partitions.to_string());
        }
        print_settings(&command);
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let server = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Kept(server);
        let (handlers, deployment) = handlers(dir.path());
        let (ingress, admin) = (format!("http://{ingress}"), format!("http://{admin}"));
        let restate = Self { server, handlers, ingress, admin, http: reqwest::Client::new(), _dir: dir };
        restate.deploy(&deployment).await;
        restate
    }

    /// Tells the server of the handlers, and fills the stock.
    async fn deploy(&self, deployment: &str) {
        eventually("Restate to take the handlers", SETTLES_WITHIN, || async {
            let call =
                self.http.post(format!("{}/deployments", self.admin)).json(&json!({ "uri": deployment }));
            call.send().await.ok()?.error_for_status().ok()
        })
        .await;
        for product in 0..PRODUCTS {
            let url = format!("{}/Stock/{product}/setOnHand", self.ingress);
            eventually("Restate to take calls", SETTLES_WITHIN, || async {
                self.http.post(&url).json(&ON_HAND).send().await.ok()?.error_for_status().ok()
            })
            .await;
        }
    }

    /// Has an order accepted.
    async fn place(&self, n: u64, method: &str) {
        let order = handlers::Order {
            product: (n % PRODUCTS as u64).to_string(),
            method: method.to_owned(),
            cents: 1_999,
            country: "DE".to_owned(),
        };
        let url = format!("{}/Orders/{}/run/send", self.ingress, Uuid::now_v7());
        let reply = self.http.post(url).json(&order).send().await.unwrap();
        assert_eq!(reply.status(), 202, "{}", reply.text().await.unwrap());
        let reply: Value = reply.json().await.unwrap();
        assert_eq!(reply["status"], "Accepted", "{reply}");
    }

    async fn full_load(self: &Arc<Self>, partitions: Option<usize>) -> u64 {
        let processes = Processes::now(vec![
            ("restate-server".to_owned(), vec![self.server.0.id()]),
            ("handlers and simulator".to_owned(), vec![self.handlers.0.id()]),
        ]);
        let next = Arc::new(AtomicU64::new(0));
        let (restate, counted) = (Arc::clone(self), Arc::clone(&next));
        let start = Instant::now();
        let accepting = callers_for(measured(), CALLERS, move |_| {
            let (restate, n) = (Arc::clone(&restate), counted.fetch_add(1, Ordering::Relaxed));
            async move { restate.place(n, method(n)).await }
        })
        .await;
        let (accepted, closed) = (next.load(Ordering::Relaxed), Instant::now());
        self.until_ended(accepted).await;
        let run = Run {
            accepting,
            accepted,
            took: start.elapsed(),
            drain: closed.elapsed(),
            used: processes.used(),
        };
        run.print(&match partitions {
            Some(partitions) => format!("Restate, {partitions} partitions"),
            None => "Restate, as it is installed".to_owned(),
        });
        self.check(accepted).await;
        accepted
    }

    /// Orders at a steady rate: from accepted to ended, by Restate's own times.
    async fn steady(self: &Arc<Self>, before: u64) {
        let from = Utc::now();
        let placed = at_rate(|n| {
            let restate = Arc::clone(self);
            async move { restate.place(n, method(1)).await }
        })
        .await;
        self.until_ended(before + placed).await;
        let time = |row: &Value, column: &str| -> DateTime<Utc> {
            row[column].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{row}"))
        };
        let rows = self.rows(TIMES).await;
        let times = rows.iter().map(|row| (time(row, "created_at"), time(row, "completed_at")));
        let took = times.filter(|(accepted, _)| *accepted >= from);
        print_paid(took.map(|(accepted, ended)| (ended - accepted).to_std().unwrap_or_default()).collect());
    }

    async fn until_ended(&self, orders: u64) {
        let start = Instant::now();
        while number(&self.rows(ENDED).await[0]["n"]) < orders {
            assert!(start.elapsed() < GIVE_UP, "orders are still open");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Every order came out as its card says, and what is reserved is what was paid.
    async fn check(&self, orders: u64) {
        let outcomes = self.rows(OUTCOMES).await;
        let count = |status: &str| {
            let stored = format!("{status:?}");
            let of = outcomes.iter().filter(|row| row["status"].as_str() == Some(&stored));
            of.map(|row| number(&row["n"])).sum::<u64>()
        };
        let declined = orders.div_ceil(DECLINED);
        assert_eq!((count("paid"), count("cancelled")), (orders - declined, declined), "{outcomes:?}");
        assert_eq!(number(&self.rows(RESERVED).await[0]["n"]), orders - declined);
    }

    /// What Restate's own tables tell.
    async fn rows(&self, question: &str) -> Vec<Value> {
        let call = self.http.post(format!("{}/query", self.admin)).header("accept", "application/json");
        let reply = call.json(&json!({ "query": question })).send().await.unwrap();
        let mut reply: Value = reply.error_for_status().unwrap().json().await.unwrap();
        serde_json::from_value(reply["rows"].take()).unwrap()
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Starts the handlers: this program again, with their books in a directory. Returns where they listen.
fn handlers(dir: &Path) -> (Kept, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let child = command.arg(handlers::ARGUMENT).arg(dir).stdout(Stdio::piped()).spawn().unwrap();
    let mut kept = Kept(child);
    let mut address = String::new();
    BufReader::new(kept.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (kept, address.trim().to_owned())
}

/// Prints what bears on the figures, and refuses a configuration that doesn't wait for the disk.
fn print_settings(command: &Command) {
    let mut asked = Command::new(command.get_program());
    asked.args(command.get_args()).arg("--dump-config");
    asked.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let dump = String::from_utf8(asked.output().unwrap().stdout).unwrap();
    // Those of no section come first.
    let setting = |section: &str, name: &str| {
        let head = if section.is_empty() { String::new() } else { format!("{section}]\n") };
        let part = dump.split("\n[").find(|part| part.starts_with(&head)).unwrap_or_default();
        let value = part.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        value.unwrap_or_else(|| panic!("no {section} {name} in {dump}"))
    };
    let provider = setting("bifrost", "default-provider");
    let log = if provider == r#""local""# { "bifrost.local" } else { "log-server" };
    let unsynced = setting(log, "rocksdb-disable-wal-fsync");
    assert_eq!(unsynced, "false", "the log is on disk before it is acknowledged");
    println!(
        "\nRestate {VERSION}: default-num-partitions = {}, bifrost.default-provider = {provider}, \
         {log}.rocksdb-disable-wal-fsync = {unsynced}",
        setting("", "default-num-partitions"),
    );
}
