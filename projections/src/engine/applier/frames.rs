//! The frames that checkpoints move to.

use std::collections::HashMap;

use domain::frame::FrameId;
use domain::ports::feed::FeedEvent;
use domain::ports::log::{LogError, LogReader};
use domain::position::{Position, Seen};

use crate::engine::origin::frame_at;
use crate::engine::store::Move;

/// Finds the frames that checkpoints move to.
pub(super) struct Frames<'a> {
    /// In order within each shard.
    events: &'a [FeedEvent],
    log: &'a dyn LogReader,
    found: HashMap<Position, FrameId>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(events: &'a [FeedEvent], log: &'a dyn LogReader) -> Self {
        Self { events, log, found: HashMap::new() }
    }

    pub(super) async fn moves(&mut self, from: &Seen, to: &Seen) -> Result<Vec<Move>, LogError> {
        let mut moves = Vec::new();
        for (from, to) in from.positions().zip(to.positions()).filter(|(from, to)| from.n != to.n) {
            moves.push(Move { shard: to.shard, from: from.n, to: to.n, frame: self.frame_of(to).await? });
        }
        Ok(moves)
    }

    /// As the event tells; the log tells it where the transport didn't.
    async fn frame_of(&mut self, position: Position) -> Result<FrameId, LogError> {
        if let Some(found) = self.found.get(&position) {
            return Ok(*found);
        }
        let event = self.events.iter().rev().find(|event| event.position == position);
        let frame = match event.and_then(|event| event.frame) {
            Some(frame) => frame,
            None => {
                let missing = || LogError::Unavailable(format!("the log doesn't show {position} yet"));
                frame_at(self.log, position, None).await?.ok_or_else(missing)?.0
            }
        };
        self.found.insert(position, frame);
        Ok(frame)
    }
}
