//! What the library is measured beside, in the same run: tephra and UmaDB, stores of events with tags, each with its default settings.
//! Each append is one event, and both stores sync the disk (fdatasync) before they reply.
//!
//! An order's event has a tag of its own, on the condition that no other event has it; so does the library place an order only in a
//! new stream. On the hot tag a caller reads the tag's last position and appends on the condition that it still is the last; who loses
//! tries again. Both stores can append without a condition too. That is measured as well, though it lets more be reserved than there is.
//!
//! The library does more for a command: it decides it, and keeps a record of it so that a repeat gets the same reply.

use std::path::Path;
use std::sync::Arc;

use domain::frame::DecidedFrame;
use domain::ports::gateway::CommandGateway;
use domain::ports::log::LogReader;
use domain::position::Shard;
use infra::sqlite::log::SqliteLog;
use tests::bench::{Line, fill_hot, place_order, print_line, reserve_hot};
use uuid::Uuid;

use crate::umadb::{self, Umadb};
use crate::{directory, owners, tephra};

/// Where a peer's events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// Each to a tag of its own, on the condition that no event has it.
    Spread,
    /// All to one tag, on the condition that its last event is still the last; a conflict is tried again.
    HotExpected,
    /// All to one tag, without a condition.
    HotUnconditioned,
}

impl Streams {
    /// The tag of the next event.
    pub(crate) fn tag(self) -> String {
        match self {
            Self::Spread => format!("order:{}", Uuid::now_v7()),
            Self::HotExpected | Self::HotUnconditioned => "inventory:1".to_owned(),
        }
    }

    pub(crate) fn event_type(self) -> &'static str {
        match self {
            Self::Spread => "order.placed",
            Self::HotExpected | Self::HotUnconditioned => "inventory.reserved",
        }
    }
}

/// The peers, and what has been measured.
pub(crate) struct Peers {
    umadb: Umadb,
    order: Arc<[u8]>,
    reservation: Arc<[u8]>,
    ratios: Vec<String>,
}

impl Peers {
    /// Installs UmaDB, and takes from a log of the library what the peers write.
    pub(crate) async fn prepare() -> Self {
        let umadb = Umadb::install();
        let [order, reservation] = events(directory().path()).await;
        Self { umadb, order, reservation, ratios: Vec::new() }
    }

    /// Orders, beside the library's line at as many callers.
    pub(crate) async fn spread(&mut self, ours: &Line, callers: usize) {
        let tephra = tephra::run(callers, Streams::Spread, &self.order).await;
        print_line("tephra, orders to new tags, guarded", callers, &tephra);
        let umadb = self.umadb.run(callers, Streams::Spread, &self.order).await;
        print_line("UmaDB, orders to new tags, guarded", callers, &umadb);
        self.ratio(&format!("orders, {callers} at once"), ours, &tephra, &umadb);
    }

    /// Reservations, beside the library's line at as many callers.
    pub(crate) async fn hot(&mut self, ours: &Line, callers: usize) {
        for (streams, how) in
            [(Streams::HotExpected, "expected position"), (Streams::HotUnconditioned, "no condition")]
        {
            let tephra = tephra::run(callers, streams, &self.reservation).await;
            print_line(&format!("tephra, one hot tag, {how}"), callers, &tephra);
            let umadb = self.umadb.run(callers, streams, &self.reservation).await;
            print_line(&format!("UmaDB, one hot tag, {how}"), callers, &umadb);
            self.ratio(&format!("hot, {how}, {callers} at once"), ours, &tephra, &umadb);
        }
    }

    fn ratio(&mut self, what: &str, ours: &Line, tephra: &Line, umadb: &Line) {
        let rate = |peer: &Line| ours.per_second / peer.per_second;
        let time = |peer: &Line| ours.p50.as_secs_f64() / peer.p50.as_secs_f64();
        self.ratios.push(format!(
            "{what}: {:.2}× tephra's rate, {:.2}× UmaDB's; {:.2}× tephra's p50, {:.2}× UmaDB's",
            rate(tephra),
            rate(umadb),
            time(tephra),
            time(umadb)
        ));
    }

    pub(crate) fn print_ratios(&self) {
        let (order, reservation) = (self.order.len(), self.reservation.len());
        println!(
            "\ntephra with segments of 256 MiB, UmaDB {} with a connection a caller, otherwise as they come; an order is {order} bytes, \
             a reservation {reservation}.\nThe library against them:",
            umadb::VERSION
        );
        for ratio in &self.ratios {
            println!("{ratio}");
        }
    }
}

/// The event of an order and that of a reservation, as the library's log holds them.
async fn events(dir: &Path) -> [Arc<[u8]>; 2] {
    let owners = owners(dir).await;
    for command in [fill_hot(), place_order(), reserve_hot()] {
        owners.submit(command).await.unwrap();
    }
    owners.stop().await;
    let log = SqliteLog::open_existing(dir).unwrap();
    let mut events = Vec::new();
    for shard in 0..log.store().shards {
        for row in log.read_frames(Shard(shard), 1, 512, 4 << 20).await.unwrap() {
            events.extend(DecidedFrame::decode(&row).unwrap().events);
        }
    }
    [Streams::Spread, Streams::HotExpected].map(|streams| {
        let event = events.iter().find(|event| event.event_type == streams.event_type()).unwrap();
        event.encode().into()
    })
}
