//! The distributed write path, measured beside its peers on the same engines in the same run:
//! `infra/local/engines up`, `export $(infra/local/engines env)`, `cargo bench -p tests --features engines --bench engines`.
//!
//! Durable commands through the library at 1, 64 and 256 callers on many streams, and 64 callers on one hot stream; beside them one
//! lightweight transaction per event, one plain insert per event, cqrs-es with postgres-es, and Axon (which needs Maven and a JDK), all
//! fsynced before the acknowledgement. Then frames through the port alone, and reading the log back.
//!
//! `SECONDS=n` sets how long each line is measured (default 3), `SHARDS=n` how many shards the stores have (default 16, as
//! everywhere); `-- peers axon library port readers visible searched`, any of them, measures only these parts. Through HTTP:
//! `--bench http` with `TILLSTREAM_TESTS_BACKENDS=engines`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark run by hand prints its table")]

mod axon;
mod library;
mod peers;
mod readers;

use tests::bench::{Line, place_order, print_head, print_line, reserve_hot};

/// The same allocator as the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLERS: [usize; 3] = [1, 64, 256];

/// Bytes of a peer's event: about the size of an order's first one.
const PAYLOAD: usize = 640;

/// What the ratios are taken of: the peers' lines at 1, 64, 256 callers, and on one hot stream.
struct Peers {
    lwt: Vec<Line>,
    postgres_es: Vec<Line>,
    hot: [Line; 2],
}

async fn peers() -> Peers {
    let rows = peers::Rows::make().await;
    let (mut lwt, mut postgres_es) = (Vec::new(), Vec::new());
    for count in CALLERS {
        let line = rows.spread(count, true).await;
        print_line("one lightweight transaction per event", count, &line);
        lwt.push(line);
    }
    for count in CALLERS {
        print_line("one plain insert per event", count, &rows.spread(count, false).await);
    }
    let hot_lwt = rows.hot(64).await;
    print_line("one lightweight transaction, one hot stream", 64, &hot_lwt);
    rows.drop().await;
    let peer = peers::PostgresEs::make().await;
    for count in CALLERS {
        let line = peer.run(count, false).await;
        print_line("cqrs-es + postgres-es", count, &line);
        postgres_es.push(line);
    }
    let hot_postgres_es = peer.run(64, true).await;
    print_line("cqrs-es + postgres-es, one hot stream", 64, &hot_postgres_es);
    peer.drop().await;
    Peers { lwt, postgres_es, hot: [hot_lwt, hot_postgres_es] }
}

/// Whether a part is to be measured: all are, unless parts are named.
fn wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == part)
}

struct Ours {
    spread: Vec<Line>,
    hot: Line,
}

async fn library() -> Ours {
    let store = library::Store::make().await;
    let mut spread = Vec::new();
    for count in CALLERS {
        let line = store.run(count, place_order).await;
        print_line("Tillstream's library, orders on many streams", count, &line);
        spread.push(line);
    }
    let hot = store.run(64, reserve_hot).await;
    print_line("Tillstream's library, one hot stock", 64, &hot);
    store.drop().await;
    Ours { spread, hot }
}

async fn port() {
    for shards in [1, tests::bench::shards()] {
        let line = library::raw(shards).await;
        let what = format!("frames of 200 events, the port, {shards} shards");
        print_line(&what, usize::from(shards), &line);
    }
}

fn print_ratios(ours: &Ours, peers: &Peers, axon: Option<&axon::Lines>) {
    println!();
    for (at, count) in CALLERS.into_iter().enumerate() {
        let [ours, lwt, peer] =
            [&ours.spread[at], &peers.lwt[at], &peers.postgres_es[at]].map(|l| l.per_second);
        print!("{count} callers: {:.1}× one LWT per event, {:.1}× postgres-es", ours / lwt, ours / peer);
        match axon {
            Some(axon) => println!(", {:.1}× Axon", ours / axon.spread[at].per_second),
            None => println!(),
        }
    }
    println!(
        "one caller: {:.2}× the time of one LWT (p50)",
        ours.spread[0].p50.as_secs_f64() / peers.lwt[0].p50.as_secs_f64()
    );
    let hot = peers.hot.iter().chain(axon.map(|axon| &axon.hot));
    let best = hot.map(|line| line.per_second).fold(0.0, f64::max);
    println!(
        "hot stream: {:.1}× the best of them, {:.2}× spread streams",
        ours.hot.per_second / best,
        ours.hot.per_second / ours.spread[1].per_second
    );
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let axon = wanted("axon").then(axon::Axon::build);
        print_head("durable commands");
        let peers = if wanted("peers") { Some(tokio::spawn(peers()).await.unwrap()) } else { None };
        let axon = match axon {
            Some(axon) => Some(axon.measure().await),
            None => None,
        };
        let ours = if wanted("library") { Some(tokio::spawn(library()).await.unwrap()) } else { None };
        if wanted("port") {
            tokio::spawn(port()).await.unwrap();
        }
        if let (Some(ours), Some(peers)) = (&ours, &peers) {
            print_ratios(ours, peers, axon.as_ref());
        }
        if wanted("readers") {
            tokio::spawn(readers::all()).await.unwrap();
        }
        if wanted("visible") {
            tokio::spawn(readers::visible()).await.unwrap();
        }
        if wanted("searched") {
            tokio::spawn(readers::searched()).await.unwrap();
        }
    });
}
