//! Whether a shop has an administrator. No address tells, since anybody may sign up with any: the log does.

use anyhow::Context as _;
use domain::frame::DecidedFrame;
use domain::identity::user::{Role, UserEvent};
use domain::ports::log::LogReader;
use domain::position::Shard;

/// Frames read of a shard at once.
const FRAMES: usize = 256;
const BYTES: usize = 1 << 20;

/// Looks through the log, all shards at the same pace: whoever set the shop up stands near the start of one.
pub(super) async fn exists(log: &dyn LogReader, tenant: &str) -> anyhow::Result<bool> {
    let mut next: Vec<(Shard, u64)> = (0..log.store().shards).map(|shard| (Shard(shard), 1)).collect();
    while !next.is_empty() {
        let mut going_on = Vec::new();
        for (shard, from) in next {
            let frames = log.read_frames(shard, from, FRAMES, BYTES).await?;
            for bytes in &frames {
                if makes_an_admin(bytes, tenant).with_context(|| format!("shard {shard}"))? {
                    return Ok(true);
                }
            }
            if !frames.is_empty() {
                going_on.push((shard, from + frames.len() as u64));
            }
        }
        next = going_on;
    }
    Ok(false)
}

fn makes_an_admin(frame: &[u8], tenant: &str) -> anyhow::Result<bool> {
    for event in &DecidedFrame::decode(frame)?.events {
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
