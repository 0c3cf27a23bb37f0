//! The verifier (P8): reads only the log, and names the first position that doesn't hold.

use std::sync::Arc;

use uuid::Uuid;

use crate::event::RecordedEvent;
use crate::frame::{CommandRecord, DecidedFrame, FrameView, Tail};
use crate::merkle;
use crate::position::Position;

/// The first thing that doesn't hold in a shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {reason}")]
pub struct Fault {
    /// Where: the first position that can't be trusted.
    pub position: Position,
    /// What doesn't hold.
    pub reason: String,
}

/// Checks that `bytes` are the frame at `tail`: its place, links, hashes and contents. Answers the tail after it.
///
/// # Errors
/// The first fault, at the position of the changed event where one event is at fault, else at the frame's first
/// position.
pub fn verify_frame(store: Uuid, tail: &Tail, bytes: &[u8]) -> Result<Tail, Fault> {
    verify_and_decode(store, tail, bytes).map(|(tail, _)| tail)
}

/// Like [`verify_frame`], and answers the frame's contents too.
///
/// # Errors
/// See [`verify_frame`].
pub fn verify_and_decode(store: Uuid, tail: &Tail, bytes: &[u8]) -> Result<(Tail, DecidedFrame), Fault> {
    let at = |n| Position { shard: tail.slot.shard, n };
    let fault = |n: u64, reason: String| Fault { position: at(n), reason };
    let first = tail.next_position;
    let frame = FrameView::parse(bytes).map_err(|e| fault(first, format!("{}: {e}", tail.slot)))?;
    let header = &frame.header;
    // Events first: a changed event is named itself, whatever else its change breaks.
    for (index, event) in frame.events.iter().enumerate() {
        if merkle::event_leaf(event) != frame.leaves[index] {
            return Err(fault(first + index as u64, "the event's bytes don't match its leaf".into()));
        }
    }
    for (index, command) in frame.commands.iter().enumerate() {
        if merkle::command_leaf(command) != frame.leaves[frame.events.len() + index] {
            return Err(fault(first, format!("{}: command record {index} was changed", tail.slot)));
        }
    }
    let checks = [
        (header.slot == tail.slot, "the frame is not the one that belongs here"),
        (header.store == store, "the frame belongs to another store"),
        (header.first_position == first, "positions are not dense"),
        (header.previous == tail.previous, "the frame doesn't follow the one before it"),
        (header.epoch >= tail.epoch, "the epoch went back"),
        (merkle::root(&frame.leaves) == header.root, "the leaves don't match the root"),
        (header.hash() == frame.hash, "the header doesn't match the hash"),
    ];
    if let Some((_, reason)) = checks.iter().find(|(holds, _)| !holds) {
        return Err(fault(first, format!("{}: {reason}", tail.slot)));
    }
    let mut events = Vec::with_capacity(frame.events.len());
    for (n, event) in (first..).zip(&frame.events) {
        let event = RecordedEvent::decode(event, at(n)).map_err(|e| fault(n, e.to_string()))?;
        events.push(Arc::new(event));
    }
    let commands = frame.decode_commands().map_err(|e| fault(first, format!("{}: {e}", tail.slot)))?;
    let within = |record: &CommandRecord| {
        record.first_event.checked_add(record.events).is_some_and(|end| end <= header.events)
    };
    if let Some(index) = commands.iter().position(|record| !within(record)) {
        return Err(fault(first, format!("{}: command record {index} names events of others", tail.slot)));
    }
    let after = Tail::after(header, frame.hash);
    Ok((after, DecidedFrame { events, commands, hash: frame.hash, header: frame.header }))
}
