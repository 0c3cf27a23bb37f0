//! `tillstream frame <shard> <n>`: a frame as it is stored, decoded; its encoding is documented in `domain::frame`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use domain::frame::{FrameView, Slot};
use domain::position::Shard;

use super::out;
use super::store::{Opened, for_reading};
use crate::config::Config;

pub(super) async fn run(config: &Config, shard: u16, frame: u64) -> anyhow::Result<ExitCode> {
    let store = match for_reading(config).await? {
        Opened::Store(store) => store,
        Opened::Fault(_, reason) => bail!(reason),
    };
    if shard >= store.log.store().shards {
        bail!("there is no shard {shard}: the store has {}, from 0", store.log.store().shards);
    }
    let slot = Slot { shard: Shard(shard), frame };
    let Some(bytes) = store.log.read_slot(slot).await? else { bail!("{slot} is not decided") };
    let view = FrameView::parse(&bytes).with_context(|| format!("{slot} can't be read"))?;
    let header = &view.header;
    let field = |name: &str, value: String| out::line(format!("{name:<16}{value}"));
    field("frame", format!("{slot}, {} bytes", bytes.len()));
    field("store", header.store.to_string());
    field("epoch", header.epoch.to_string());
    field("nonce", header.nonce.to_string());
    field("first position", format!("{}:{}", slot.shard, header.first_position));
    field("events", header.events.to_string());
    field("commands", header.commands.to_string());
    field("previous hash", hex::encode(header.previous));
    field("root", hex::encode(header.root));
    let verdict = if header.hash() == view.hash { "" } else { " (doesn't match the header)" };
    field("hash", format!("{}{verdict}", hex::encode(view.hash)));
    for (index, (event, leaf)) in view.decode_events()?.iter().zip(&view.leaves).enumerate() {
        out::gap();
        field("event", format!("{index} at {}, {} bytes", event.position, view.events[index].len()));
        field("leaf", hex::encode(leaf));
        out::line(serde_json::to_string_pretty(event)?);
    }
    for (index, command) in view.decode_commands()?.iter().enumerate() {
        out::gap();
        let range = match command.events {
            0 => "no events".to_owned(),
            n => format!("events {} to {}", command.first_event, command.first_event + n - 1),
        };
        field("command", format!("{index}: {}, {range}", command.id));
        field("leaf", hex::encode(view.leaves[view.events.len() + index]));
        field("body hash", hex::encode(command.body_hash));
        field("answer", String::from_utf8_lossy(&command.answer).into_owned());
    }
    Ok(ExitCode::SUCCESS)
}
