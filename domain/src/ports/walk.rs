//! Walking along the log: the decided frames of a shard from one on, page by page.

use super::log::{LogError, LogReader};
use crate::frame::{DecidedFrame, Slot};
use crate::position::{Position, Shard};

/// Frames that are read at once, unless said otherwise, and about how many bytes of them.
const FRAMES: usize = 512;
const BYTES: usize = 4 << 20;

/// A walk along the frames of a shard. It ends at the tail, and goes on from there when it is asked again.
pub struct Walk<'a> {
    log: &'a dyn LogReader,
    shard: Shard,
    next: u64,
    frames: usize,
    bytes: usize,
}

impl<'a> Walk<'a> {
    /// From a frame on.
    #[must_use]
    pub fn from_frame(log: &'a dyn LogReader, shard: Shard, frame: u64) -> Self {
        Self { log, shard, next: frame, frames: FRAMES, bytes: BYTES }
    }

    /// From the frame on that holds a position, or the first frame after it.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn from_position(log: &'a dyn LogReader, position: Position) -> Result<Self, LogError> {
        Ok(Self::from_frame(log, position.shard, log.frame_of_position(position).await?))
    }

    /// The same with other bounds of a page.
    #[must_use]
    pub fn by(self, frames: usize, bytes: usize) -> Self {
        Self { frames, bytes, ..self }
    }

    /// The next frames in order; none at the tail. Frames before one that can't be read come first, and then the fault.
    ///
    /// # Errors
    /// [`LogError`]; of a frame that can't be read [`LogError::Corrupt`] names its slot.
    pub async fn page(&mut self) -> Result<Vec<DecidedFrame>, LogError> {
        let rows = self.log.read_frames(self.shard, self.next, self.frames, self.bytes).await?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            match DecidedFrame::decode(row) {
                Ok(frame) => page.push(frame),
                Err(_) if !page.is_empty() => break,
                Err(error) => {
                    let slot = Slot { shard: self.shard, frame: self.next };
                    return Err(LogError::Corrupt(slot.to_string(), error.to_string()));
                }
            }
            self.next += 1;
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use uuid::Uuid;

    use super::*;
    use crate::event::RecordedEvent;
    use crate::frame::{Tail, encode_frame};
    use crate::ports::log::StoreInfo;
    use crate::stream::StreamId;

    const STORE: Uuid = Uuid::from_u128(1);

    /// Frames without events.
    struct Frames(Vec<Vec<u8>>);

    #[async_trait]
    impl LogReader for Frames {
        fn store(&self) -> StoreInfo {
            StoreInfo { id: STORE, shards: 1 }
        }

        async fn read_frames(
            &self,
            _: Shard,
            from: u64,
            limit: usize,
            _: usize,
        ) -> Result<Vec<Vec<u8>>, LogError> {
            Ok(self.0.iter().skip(from as usize - 1).take(limit).cloned().collect())
        }

        async fn frame_of_position(&self, position: Position) -> Result<u64, LogError> {
            Ok(position.n)
        }

        async fn read_stream(&self, _: &StreamId, _: u64, _: usize) -> Result<Vec<RecordedEvent>, LogError> {
            Ok(Vec::new())
        }
    }

    fn frames(n: usize) -> Frames {
        let frame = || encode_frame(STORE, &Tail::empty(Shard(0)), 1, Uuid::from_u128(2), &[], &[]);
        Frames((0..n).map(|_| frame().bytes.to_vec()).collect())
    }

    // proves: P7
    #[tokio::test]
    async fn every_frame_comes_once_and_the_walk_goes_on_behind_the_tail() {
        let log = frames(5);
        for (from, at_once) in [(1, 2), (1, 5), (2, 3), (5, 1), (6, 9)] {
            let mut walk = Walk::from_frame(&log, Shard(0), from).by(at_once, BYTES);
            let mut found = 0;
            loop {
                let page = walk.page().await.unwrap();
                assert!(page.len() <= at_once);
                if page.is_empty() {
                    break;
                }
                found += page.len() as u64;
            }
            assert_eq!((found, walk.next), (6 - from, 6));
        }
        let more = frames(6);
        let mut walk = Walk {
            log: &more,
            ..Walk::from_position(&log, Position { shard: Shard(0), n: 6 }).await.unwrap()
        };
        assert_eq!(walk.page().await.unwrap().len(), 1);
    }

    // proves: P8
    #[tokio::test]
    async fn what_comes_before_a_fault_comes_first_and_the_fault_is_named() {
        let mut log = frames(3);
        log.0[2].truncate(10);
        let mut walk = Walk::from_frame(&log, Shard(0), 1);
        assert_eq!(walk.page().await.unwrap().len(), 2);
        for _ in 0..2 {
            let fault = walk.page().await.unwrap_err();
            let slot = Slot { shard: Shard(0), frame: 3 }.to_string();
            assert!(matches!(&fault, LogError::Corrupt(at, _) if *at == slot), "{fault:?}");
        }
    }
}
