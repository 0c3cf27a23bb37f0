//! The steps of an order at which something is killed. What lies between two of them, as publishing and moving a checkpoint, can't be
//! seen from outside: there the moment is drawn here, and every step of an owner's work with the log is stopped at by the contract
//! suite of the owners.

use std::time::Duration;

use rand::RngExt as _;
use tests::server::eventually;
use tests::shop::SETTLES_WITHIN;
use tests::workload::{Placed, Workload};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// What is known of an order when something is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// It was sent: not decided, or just so, or already published.
    Sent,
    /// It was acknowledged: decided; perhaps not published.
    Acknowledged,
    /// It can be read: applied; perhaps without its checkpoint.
    Visible,
    /// Its saga has stock.
    Reserved,
    /// Its saga has money.
    Paid,
}

pub(crate) const STEPS: [Step; 5] =
    [Step::Sent, Step::Acknowledged, Step::Visible, Step::Reserved, Step::Paid];

/// An order at a step.
pub(crate) enum Ordered {
    /// Sent, and sent again until it is acknowledged.
    OnItsWay(JoinHandle<Placed>),
    /// Acknowledged.
    Acknowledged(Placed),
}

impl Ordered {
    /// Waits until it is acknowledged.
    pub(crate) async fn acknowledged(self) -> Placed {
        match self {
            Self::OnItsWay(ordering) => {
                let placed = tokio::time::timeout(SETTLES_WITHIN, ordering).await;
                placed.expect("it is acknowledged some time").expect("no panic")
            }
            Self::Acknowledged(placed) => placed,
        }
    }
}

impl Step {
    /// Sends an order and waits until it has come so far.
    pub(crate) async fn reach(self, world: &mut World, workload: &Workload) -> Ordered {
        let moment = Duration::from_micros(world.dice.random_range(0..15_000));
        let mut ordered = Ordered::OnItsWay(tokio::spawn({
            let workload = workload.clone();
            async move { workload.order(&CancellationToken::new()).await.expect("it is never stopped") }
        }));
        if let Self::Sent = self {
            // Any moment will do, and the seed says which.
            tokio::time::sleep(moment).await;
        } else {
            let placed = ordered.acknowledged().await;
            let path = format!("/api/v1/orders/{}", placed.id);
            eventually(&format!("{} to be {self:?}", placed.id), SETTLES_WITHIN, || async {
                let status = match self {
                    Self::Sent | Self::Acknowledged => String::new(),
                    _ => world.cluster.front.admin.get(&path).await.ok()?.text_at("/status").to_owned(),
                };
                self.is_reached(&status).then_some(())
            })
            .await;
            ordered = Ordered::Acknowledged(placed);
        }
        world.round.tell(format!("{self:?}"));
        ordered
    }

    fn is_reached(self, status: &str) -> bool {
        match self {
            Self::Sent | Self::Acknowledged => true,
            Self::Visible => !status.is_empty(),
            // Those that are declined come back from here.
            Self::Reserved => !matches!(status, "" | "pending"),
            Self::Paid => matches!(status, "paid" | "cancelled" | "rejected"),
        }
    }
}
