//! Whether a shop has an administrator. No address tells, since anybody may sign up with any: the log does.

use domain::frame::DecidedFrame;
use domain::identity::user::{Role, UserEvent};
use domain::ports::log::LogReader;
use domain::ports::walk::Walk;
use domain::position::Shard;

/// Frames read of a shard at once.
const FRAMES: usize = 256;
const BYTES: usize = 1 << 20;

/// Looks through the log, all shards at the same pace: whoever set the shop up stands near the start of one.
pub(super) async fn exists(log: &dyn LogReader, tenant: &str) -> anyhow::Result<bool> {
    let shards = (0..log.store().shards).map(Shard);
    let mut walks: Vec<_> = shards.map(|shard| Walk::from_frame(log, shard, 1).by(FRAMES, BYTES)).collect();
    while !walks.is_empty() {
        let mut going_on = Vec::new();
        for mut walk in walks {
            let frames = walk.page().await?;
            for frame in &frames {
                if makes_an_admin(frame, tenant)? {
                    return Ok(true);
                }
            }
            if !frames.is_empty() {
                going_on.push(walk);
            }
        }
        walks = going_on;
    }
    Ok(false)
}

fn makes_an_admin(frame: &DecidedFrame, tenant: &str) -> anyhow::Result<bool> {
    for event in &frame.events {
        if event.stream.kind() != "user" || event.stream.tenant() != tenant {
            continue;
        }
        match event.typed::<UserEvent>()? {
            UserEvent::Registered(registered) if registered.roles.contains(&Role::Admin) => return Ok(true),
            UserEvent::Registered(_) | UserEvent::Renamed(_) => {}
        }
    }
    Ok(false)
}
