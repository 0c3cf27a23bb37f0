//! Taking a shard over (P4): find the tail, put a fence with a higher epoch into the first empty slot, adopt what wins it.

use std::sync::Arc;

use domain::Timestamp;
use domain::command::CommandError;
use domain::frame::{DecidedFrame, Slot, Tail, encode_frame};
use domain::position::{Position, Shard};
use domain::verify::verify_and_decode;
use uuid::Uuid;

use super::OwnerShared;
use super::loading::unavailable;
use super::overlay::Overlay;
use super::proposal::{Resolution, resolve};

const PAGE_FRAMES: usize = 256;
const PAGE_BYTES: usize = 4 << 20;

/// What a new owner starts with.
pub(super) struct Takeover {
    pub(super) tail: Tail,
    pub(super) overlay: Overlay,
    pub(super) last_time: Timestamp,
}

struct Reading<'a> {
    shared: &'a OwnerShared,
    shard: Shard,
    tail: Tail,
    overlay: Overlay,
}

/// Takes the shard over: afterwards no frame of a lower epoch can be decided.
pub(super) async fn take_over(shared: &OwnerShared, shard: Shard) -> Result<Takeover, CommandError> {
    let (tail, derived_through) = start(shared, shard).await?;
    let overlay = Overlay::new(derived_through, shared.config.recent_results);
    let mut reading = Reading { shared, shard, tail, overlay };
    loop {
        let rows = shared
            .log
            .read_frames(shard, reading.tail.slot.frame, PAGE_FRAMES, PAGE_BYTES)
            .await
            .map_err(unavailable)?;
        if rows.is_empty() {
            // Pages may be served by a lagging replica; the slot itself may not.
            match shared.log.read_slot(reading.tail.slot).await.map_err(unavailable)? {
                Some(row) => reading.adopt(&row).await?,
                None => match reading.fence().await? {
                    None => break,
                    Some(row) => reading.adopt(&row).await?,
                },
            }
        }
        for row in rows {
            reading.adopt(&row).await?;
        }
    }
    let last_time = last_time(shared, shard, &reading.tail).await?;
    tracing::debug!(%shard, epoch = reading.tail.epoch, head = reading.tail.head(), "took the shard over");
    Ok(Takeover { tail: reading.tail, overlay: reading.overlay, last_time })
}

/// Where reading starts: right after the last frame that derived rows claim, if the log has it.
async fn start(shared: &OwnerShared, shard: Shard) -> Result<(Tail, u64), CommandError> {
    let through = shared.log.progress(shard).await.map_err(unavailable)?.derived_through;
    if through == 0 {
        return Ok((Tail::empty(shard), 0));
    }
    match shared.log.read_slot(Slot { shard, frame: through }).await.map_err(unavailable)? {
        Some(row) => {
            let frame = DecidedFrame::decode(&row)
                .map_err(|e| CommandError::Internal(format!("frame {through} of shard {shard}: {e}")))?;
            let (found, belongs) = (&frame.header, Slot { shard, frame: through });
            if found.slot != belongs || found.store != shared.store.id {
                return Err(CommandError::Internal(format!("{belongs} holds a frame from elsewhere")));
            }
            Ok((Tail::after(found, frame.hash), through))
        }
        None => {
            tracing::warn!(%shard, through, "derived rows claim frames that the log doesn't have; rewriting them");
            shared.log.drop_derived(shard).await.map_err(unavailable)?;
            Ok((Tail::empty(shard), 0))
        }
    }
}

impl Reading<'_> {
    /// Follows a decided frame. When the overlay is full, derived rows are written before reading on.
    async fn adopt(&mut self, row: &[u8]) -> Result<(), CommandError> {
        let internal = |reason: String| CommandError::Internal(format!("shard {}: {reason}", self.shard));
        let (tail, frame) = verify_and_decode(self.shared.store.id, &self.tail, row)
            .map_err(|fault| internal(fault.to_string()))?;
        let frame = Arc::new(frame);
        self.overlay.add(&frame, row.len());
        // The feed may have seen it from the owner before, or never.
        self.shared.fan_out.publish(frame);
        self.tail = tail;
        while self.overlay.bytes() > self.shared.config.overlay_bytes / 2 {
            let frames = self.overlay.outstanding(PAGE_BYTES);
            let Some(last) = frames.last().map(|frame| frame.header.slot.frame) else { break };
            self.shared.log.write_derived(self.shard, &frames).await.map_err(unavailable)?;
            self.overlay.acknowledge(last);
        }
        Ok(())
    }

    /// Proposes the fence for the first empty slot; answers the row that won it when that is another's.
    async fn fence(&mut self) -> Result<Option<Vec<u8>>, CommandError> {
        let epoch = self.tail.epoch + 1;
        let fence = encode_frame(self.shared.store.id, &self.tail, epoch, Uuid::new_v4(), &[], &[]);
        let fence = Arc::new(fence);
        match resolve(Arc::clone(&self.shared.log), Arc::clone(&fence)).await {
            Resolution::Decided => self.adopt(&fence.bytes).await.map(|()| None),
            Resolution::Lost(row) => Ok(Some(row)),
            Resolution::NotWritten(reason) => Err(CommandError::Unavailable(reason)),
        }
    }
}

/// The time of the shard's last event, below which no later one may fall.
async fn last_time(shared: &OwnerShared, shard: Shard, tail: &Tail) -> Result<Timestamp, CommandError> {
    if tail.head() == 0 {
        return Ok(Timestamp::UNIX_EPOCH);
    }
    let internal = |reason: String| CommandError::Internal(format!("shard {shard}: {reason}"));
    let head = Position { shard, n: tail.head() };
    let frame = shared.log.frame_of_position(head).await.map_err(unavailable)?;
    let row = shared.log.read_slot(Slot { shard, frame }).await.map_err(unavailable)?;
    let row = row.ok_or_else(|| internal(format!("frame {frame} is missing")))?;
    let frame = DecidedFrame::decode(&row).map_err(|e| internal(e.to_string()))?;
    frame
        .events
        .last()
        .map(|event| event.time)
        .ok_or_else(|| internal(format!("{head} is not where it should be")))
}
