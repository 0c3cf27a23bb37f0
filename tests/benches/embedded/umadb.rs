//! UmaDB: a server of events, asked over gRPC on loopback, each caller with a connection of its own. Its writer syncs a group of appends
//! (fdatasync) before it replies to any.
//!
//! Its Rust client is generated when it is compiled, by a `protoc` that has to be there. The few messages of an append are written down
//! here instead; they go over the same gRPC library.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::bench::{Line, callers as measure};
use tokio::net::TcpListener;
use tokio::process::Child;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use crate::directory;
use crate::peers::Streams;

/// The release that is installed.
pub(crate) const VERSION: &str = "0.7.8";

/// The installed server.
pub(crate) struct Umadb {
    program: PathBuf,
}

impl Umadb {
    /// Installs the server into a virtual environment below the target directory, unless it is there already; panics where there is no
    /// Python 3 with `venv` or no package registry.
    pub(crate) fn install() -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("umadb-{VERSION}"));
        let program = home.join("bin/umadb");
        if !program.exists() {
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&home));
            let package = format!("umadb=={VERSION}");
            succeed(Command::new(home.join("bin/pip")).args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--only-binary",
                ":all:",
                &package,
            ]));
        }
        Self { program }
    }

    /// Has callers append to a new store.
    pub(crate) async fn run(&self, callers: usize, streams: Streams, event: &Arc<[u8]>) -> Line {
        let dir = directory();
        let (mut server, endpoint) = self.start(dir.path()).await;
        let mut clients = Vec::new();
        for _ in 0..callers {
            clients.push(Client(Grpc::new(endpoint.connect().await.unwrap())));
        }
        let event = Arc::clone(event);
        let line = measure(callers, move |caller| {
            let (client, event) = (clients[caller].clone(), Arc::clone(&event));
            async move { append(client, streams, &event).await }
        })
        .await;
        server.kill().await.unwrap();
        line
    }

    /// Starts the server on a free port, and waits until it listens.
    async fn start(&self, dir: &Path) -> (Child, Endpoint) {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let log = dir.join("server.log");
        let output = File::create(&log).unwrap();
        let mut server = tokio::process::Command::new(&self.program)
            .args(["--listen", &free, "--db-path"])
            .arg(dir.join("events.db"))
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{free}")).unwrap().tcp_nodelay(true);
        let start = Instant::now();
        while endpoint.connect().await.is_err() {
            let ended = server.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < Duration::from_secs(60),
                "UmaDB doesn't listen: {}",
                std::fs::read_to_string(&log).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (server, endpoint)
    }
}

fn succeed(command: &mut Command) {
    let status =
        command.status().unwrap_or_else(|error| panic!("UmaDB is installed by {command:?}: {error}"));
    assert!(status.success(), "UmaDB can't be installed by {command:?}: {status}");
}

/// Appends an event, and returns when it is on disk.
async fn append(mut client: Client, streams: Streams, payload: &[u8]) {
    let tags = vec![streams.tag()];
    let event = Event {
        event_type: streams.event_type().to_owned(),
        tags: tags.clone(),
        data: payload.to_vec(),
        uuid: Uuid::now_v7().to_string(),
    };
    let query = Query { items: vec![QueryItem { types: Vec::new(), tags }] };
    loop {
        let after = match streams {
            Streams::Spread | Streams::HotUnconditioned => None,
            Streams::HotExpected => client.last_position(query.clone()).await,
        };
        let condition = AppendCondition { fail_if_events_match: Some(query.clone()), after };
        let condition = (streams != Streams::HotUnconditioned).then_some(condition);
        match client.append(AppendRequest { events: vec![event.clone()], condition }).await {
            Ok(_) => return,
            Err(status) if streams == Streams::HotExpected && status.code() == Code::FailedPrecondition => {}
            Err(status) => panic!("UmaDB refuses an event: {status}"),
        }
    }
}

/// A connection.
#[derive(Debug, Clone)]
struct Client(Grpc<Channel>);

impl Client {
    async fn append(&mut self, request: AppendRequest) -> Result<AppendResponse, Status> {
        self.0.ready().await.unwrap();
        let path = PathAndQuery::from_static("/umadb.v1.DCB/Append");
        let codec = ProstCodec::<AppendRequest, AppendResponse>::default();
        self.0.unary(Request::new(request), path, codec).await.map(Response::into_inner)
    }

    async fn last_position(&mut self, query: Query) -> Option<u64> {
        self.0.ready().await.unwrap();
        let request = ReadRequest { query: Some(query), backwards: Some(true), limit: Some(1) };
        let path = PathAndQuery::from_static("/umadb.v1.DCB/Read");
        let codec = ProstCodec::<ReadRequest, ReadResponse>::default();
        let response = self.0.server_streaming(Request::new(request), path, codec).await.unwrap();
        let (mut parts, mut last) = (response.into_inner(), None);
        while let Some(part) = parts.message().await.unwrap() {
            last = last.or(part.events.first().map(|event| event.position));
        }
        last
    }
}

// The messages of `umadb.v1`, with the fields that are used here.

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(string, tag = "1")]
    event_type: String,
    #[prost(string, repeated, tag = "2")]
    tags: Vec<String>,
    #[prost(bytes = "vec", tag = "3")]
    data: Vec<u8>,
    #[prost(string, tag = "4")]
    uuid: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct QueryItem {
    #[prost(string, repeated, tag = "1")]
    types: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    tags: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Query {
    #[prost(message, repeated, tag = "1")]
    items: Vec<QueryItem>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AppendCondition {
    #[prost(message, optional, tag = "1")]
    fail_if_events_match: Option<Query>,
    #[prost(uint64, optional, tag = "2")]
    after: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AppendRequest {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Event>,
    #[prost(message, optional, tag = "2")]
    condition: Option<AppendCondition>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AppendResponse {
    #[prost(uint64, tag = "1")]
    position: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadRequest {
    #[prost(message, optional, tag = "1")]
    query: Option<Query>,
    #[prost(bool, optional, tag = "3")]
    backwards: Option<bool>,
    #[prost(uint32, optional, tag = "4")]
    limit: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SequencedEvent {
    #[prost(uint64, tag = "1")]
    position: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    events: Vec<SequencedEvent>,
}
