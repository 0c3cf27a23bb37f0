//! Several processes per role over one set of names on the engines, behind a client that goes round them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::client::{Client, Way};
use crate::engines::Engines;
use crate::history::History;
use crate::server::{Ended, Place, Server, Start, eventually, send, tillstream};
use crate::shop::{Front, SETTLES_WITHIN};

/// Every role, by the name that `--role` has for it.
pub const ROLES: [&str; 4] = ["command-api", "projections", "sagas", "query-api"];

/// How long a request is under way at most between being sent to a process and being connected to it.
const ROUTED: Duration = Duration::from_millis(100);

/// The processes that a request may go to, by role: what a load balancer knows.
#[derive(Debug, Default)]
struct Members {
    running: Mutex<BTreeMap<(&'static str, usize), String>>,
    turn: AtomicUsize,
}

impl Way for Members {
    fn base(&self, method: &Method, path: &str) -> String {
        let role = match path {
            _ if path.starts_with("/simulator/") => "sagas",
            _ if path.starts_with("/health") || *method != Method::GET => "command-api",
            _ => "query-api",
        };
        let running = self.running.lock().expect("no panic");
        let bases: Vec<&String> =
            running.iter().filter(|((of, _), _)| *of == role).map(|(_, base)| base).collect();
        // Nobody listens on the discard port, so that the request fails as one to a role that is gone.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        bases
            .get(turn % bases.len().max(1))
            .map_or_else(|| "http://127.0.0.1:9".to_owned(), |&base| base.clone())
    }
}

/// One process.
#[derive(Debug)]
pub struct Node {
    /// Its role.
    pub role: &'static str,
    n: usize,
    start: Start,
    server: Option<Server>,
}

/// A running shop of many processes. They are killed, and their names on the engines go, when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    members: Arc<Members>,
    history: History,
    /// Its clients.
    pub front: Front,
    // Last: the processes end before their store goes.
    place: Place,
}

impl Cluster {
    /// A new shop with so many processes of every role; `how` changes the settings of each.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start(
        engines: &Engines,
        of_each: usize,
        history: &History,
        how: impl Fn(&'static str, &Place, Start) -> Start,
    ) -> Self {
        let place = Place::on(engines);
        let credentials = place.path().join("credentials.json");
        let (data, file) = (text(place.data()), text(credentials.clone()));
        let done = tillstream(&["bootstrap", "--data-dir", &data, "--credentials", &file]);
        assert_eq!(done.code, 0, "{}", done.err);

        let simulator = format!("simulator:{}", text(place.path().join("simulator")));
        let members = Arc::new(Members::default());
        let mut nodes = Vec::new();
        for role in ROLES {
            for n in 0..of_each {
                let dir = place.path().join(format!("{role}-{n}"));
                place.names().expect("on engines").write(&dir.with_extension("toml"));
                let start = Start::serve(&dir).role(role);
                let start = start.set("payments.url", &simulator).set("carrier.url", &simulator);
                let start = start.set("logging.level", "warn");
                nodes.push(Node { role, n, start: how(role, &place, start), server: None });
            }
        }
        for node in &mut nodes {
            node.begin(&members);
        }
        history.tell(format!("{of_each} processes of each role run in {}", place.path().display()));
        let stranger = Client::of_many(Arc::clone(&members) as Arc<dyn Way>);
        ready(&stranger, &nodes).await;
        let front = Front::sign_in(stranger, &credentials).await;
        Self { nodes, members, history: history.clone(), front, place }
    }

    /// Signs its clients in again: their tokens are good for 15 minutes.
    pub async fn sign_in_again(&mut self) {
        let credentials = self.place.path().join("credentials.json");
        self.front = Front::sign_in(self.front.stranger.clone(), &credentials).await;
    }

    /// The place of its store.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// `kill -9` of a process.
    ///
    /// # Panics
    /// When it isn't running.
    pub fn kill(&mut self, role: &'static str, n: usize) {
        self.history.tell(format!("kill -9 {role} {n}"));
        let server = self.node(role, n).server.take();
        // The load balancer learns of it by and by; here at once, and its open connections have broken anyhow.
        self.members.running.lock().expect("no panic").remove(&(role, n));
        server.expect("it runs").kill().expect("it can be killed");
    }

    /// A process stops as an operator asks for it: it gets no new requests, and finishes those it has.
    ///
    /// # Panics
    /// When it doesn't end, or not well.
    pub async fn terminate(&mut self, role: &'static str, n: usize) {
        self.members.running.lock().expect("no panic").remove(&(role, n));
        tokio::time::sleep(ROUTED).await;
        self.signal(role, n, "TERM");
        self.ended(role, n).await;
    }

    /// Waits for the end of a process that was asked to stop.
    ///
    /// # Panics
    /// When it doesn't end, or not well.
    pub async fn ended(&mut self, role: &'static str, n: usize) {
        self.members.running.lock().expect("no panic").remove(&(role, n));
        let mut server = self.node(role, n).server.take().expect("it runs");
        let ended = tokio::task::spawn_blocking(move || server.wait(SETTLES_WITHIN)).await.expect("no panic");
        let status = ended.expect("it ends");
        assert!(status.success(), "{role} {n} ended with {status}");
        self.history.tell(format!("{role} {n} has ended"));
    }

    /// Starts a process again that has ended, and waits until it is ready.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn restart(&mut self, role: &'static str, n: usize) {
        let members = Arc::clone(&self.members);
        let node = self.node(role, n);
        assert!(node.server.is_none(), "{role} {n} runs");
        tokio::task::block_in_place(|| node.begin(&members));
        let node = &*node;
        ready(&Client::of_many(members), std::slice::from_ref(node)).await;
        self.history.tell(format!("{role} {n} runs again"));
    }

    /// Whether a process runs.
    #[must_use]
    pub fn runs(&self, role: &'static str, n: usize) -> bool {
        self.nodes.iter().any(|node| node.role == role && node.n == n && node.server.is_some())
    }

    /// Sends a signal to a process.
    ///
    /// # Panics
    /// When it isn't running.
    pub fn signal(&mut self, role: &'static str, n: usize, signal: &str) {
        self.history.tell(format!("SIG{signal} {role} {n}"));
        send(signal, self.pid(role, n)).expect("it can be sent");
    }

    /// The process id.
    ///
    /// # Panics
    /// When it isn't running.
    pub fn pid(&mut self, role: &'static str, n: usize) -> u32 {
        self.node(role, n).server.as_ref().expect("it runs").pid()
    }

    /// Where a process listens: `host:port`.
    ///
    /// # Panics
    /// When it isn't running.
    pub fn address(&mut self, role: &'static str, n: usize) -> String {
        let base = &self.node(role, n).server.as_ref().expect("it runs").base;
        base.trim_start_matches("http://").to_owned()
    }

    /// A client of one process alone.
    ///
    /// # Panics
    /// When it isn't running.
    pub fn client(&mut self, role: &'static str, n: usize) -> Client {
        self.node(role, n).server.as_ref().expect("it runs").client()
    }

    /// A client of a process's operators' own listener.
    ///
    /// # Panics
    /// When it isn't running, or has no such listener.
    pub fn operators(&mut self, role: &'static str, n: usize) -> Client {
        self.node(role, n).server.as_ref().expect("it runs").operators().expect("it has such a listener")
    }

    /// Runs an operator's command beside the running processes: `verify`, `rebuild`.
    #[must_use]
    pub fn operate(&self, args: &[&str]) -> Ended {
        let data = text(self.place.data());
        let ended = tokio::task::block_in_place(|| tillstream(&[args, &["--data-dir", &data]].concat()));
        self.history.tell(format!("tillstream {}: status {}", args.join(" "), ended.code));
        ended
    }

    /// The log and all copies of its events agree, read models rebuilt from the log are what the live ones are, and no saga is
    /// stuck.
    ///
    /// # Panics
    /// When they don't.
    pub async fn holds_together(&mut self) {
        for args in [&["verify"][..], &["conservation"]] {
            // A read model may be a moment behind the log.
            eventually(
                &format!("tillstream {} to find no fault", args.join(" ")),
                SETTLES_WITHIN,
                || async {
                    let ended = self.operate(args);
                    if ended.code != 0 {
                        self.history.tell(format!("{}{}", ended.out, ended.err));
                    }
                    (ended.code == 0).then_some(())
                },
            )
            .await;
        }
        // Once: the rebuilt rows take the place of the live ones, so a second look would find no difference any more.
        let rebuilt = self.operate(&["rebuild"]);
        self.history.tell(format!("{}{}", rebuilt.out, rebuilt.err));
        assert_eq!(rebuilt.code, 0, "{}{}", rebuilt.out, rebuilt.err);
        let lines: Vec<&str> = rebuilt.out.lines().skip(1).map(str::trim_end).collect();
        let models = infra::shop::projections().rows.len() + infra::shop::projections().documents.len();
        assert_eq!(lines.len(), models, "every read model is rebuilt, and no row differs: {}", rebuilt.out);
        assert!(lines.iter().all(|line| line.ends_with("equal")), "digests differ: {}", rebuilt.out);
        let health = self.client("sagas", 0).get("/health").await.expect("an answer");
        let sagas = &health.body["sagas"];
        assert!(sagas["stuck"].as_array().is_some_and(Vec::is_empty), "stuck sagas: {sagas}");
        assert!(sagas["fault"].is_null(), "{sagas}");
    }

    /// The process that owns a shard, by its number among those of `command-api`.
    ///
    /// # Panics
    /// When nobody owns it for long.
    pub async fn owner_of(&self, shard: u16) -> usize {
        let address = eventually(&format!("shard {shard} to have an owner"), SETTLES_WITHIN, || async {
            self.leases().await?.into_iter().find(|lease| lease["shard"] == shard)?["address"]
                .as_str()
                .map(str::to_owned)
        })
        .await;
        let owns = |node: &&Node| {
            let base = node.server.as_ref().map(|server| server.base.as_str()).unwrap_or_default();
            node.role == "command-api" && base.trim_start_matches("http://") == address
        };
        self.nodes.iter().find(owns).map_or_else(|| panic!("{address} is no running process"), |node| node.n)
    }

    /// The leases of all shards, as the first process of the role `projections` sees them; `None` when they can't be read now.
    pub async fn leases(&self) -> Option<Vec<Value>> {
        let node = self.nodes.iter().find(|node| node.role == "projections" && node.server.is_some())?;
        let health = node.server.as_ref()?.client().get("/health").await.ok()?;
        health.body["owned_by"].as_array().cloned()
    }

    /// How often shards have been given to an owner by now, all taken together.
    ///
    /// # Panics
    /// When the leases can't be read for long.
    pub async fn epochs(&self) -> u64 {
        let epochs = |leases: Vec<Value>| leases.iter().filter_map(|lease| lease["epoch"].as_u64()).sum();
        eventually("the leases to be readable", SETTLES_WITHIN, || async { self.leases().await.map(epochs) })
            .await
    }

    fn node(&mut self, role: &'static str, n: usize) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.role == role && node.n == n).expect("there is such a process")
    }

    /// The end of every process's log, for a test that fails.
    #[must_use]
    pub fn logs(&self) -> String {
        let tail = |node: &Node| {
            let file = self.place.path().join(format!("{}-{}.log", node.role, node.n));
            let log = std::fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            format!("--- {} {}\n{}\n", node.role, node.n, lines[lines.len().saturating_sub(25)..].join("\n"))
        };
        self.nodes.iter().map(tail).collect()
    }
}

impl Node {
    fn begin(&mut self, members: &Members) {
        let server = self.start.start().expect("the process starts");
        members.running.lock().expect("no panic").insert((self.role, self.n), server.base.clone());
        self.server = Some(server);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.history.tell(format!("the ends of the logs:\n{}", self.logs()));
        }
        for node in &mut self.nodes {
            // A stopped process dies of SIGKILL too.
            node.server = None;
        }
    }
}

async fn ready(client: &Client, nodes: &[Node]) {
    for node in nodes {
        let base = node.server.as_ref().map(|server| server.base.clone()).unwrap_or_default();
        let what = format!("{} {} to become ready", node.role, node.n);
        eventually(&what, SETTLES_WITHIN, || async {
            let reply = client.at(&base).get("/health/ready").await.ok()?;
            (reply.status == 200).then_some(())
        })
        .await;
    }
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("a UTF-8 path")
}
