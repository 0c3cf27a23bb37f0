//! The digest over a shard's derived rows, computed alike from the rows and from the log that they were made of, in whatever order they
//! come, and in no more memory than a few numbers.
//!
//! ```text
//! digest = SHA-256(rows ‖ sum), sum = Σ SHA-256(key ‖ row) mod 2²⁵⁶
//! row    = 0 ‖ frame ‖ event index ‖ version ‖ length of stream ‖ stream      for every event
//!        | 1 ‖ frame ‖ record index ‖ length of id ‖ id                       for every repeatable command's record
//! ```
//! Numbers are u64, little-endian. A verification draws the key when it begins: rows that were forged before can't have been chosen so that
//! their sum is the same.

use domain::command::CommandId;
use domain::frame::DecidedFrame;
use domain::merkle::Hash;
use domain::ports::log::DerivedRows;
use domain::stream::StreamId;
use sha2::{Digest, Sha256};

/// The digest under way.
pub(crate) struct DerivedDigest {
    keyed: Sha256,
    rows: u64,
    /// Little-endian limbs.
    sum: [u64; 4],
    last_frame: u64,
}

impl DerivedDigest {
    /// Of no row yet.
    pub(crate) fn new(key: &Hash) -> Self {
        Self { keyed: Sha256::new().chain_update(key), rows: 0, sum: [0; 4], last_frame: 0 }
    }

    /// A row of this frame is there, whether it is taken or not.
    pub(crate) fn saw(&mut self, frame: u64) {
        self.last_frame = self.last_frame.max(frame);
    }

    /// Takes a pointer.
    pub(crate) fn pointer(&mut self, frame: u64, event: u64, version: u64, stream: &[u8]) {
        self.add(0, [frame, event, version, stream.len() as u64], stream);
    }

    /// Takes a command result. One that nobody can ask for counts as not there.
    pub(crate) fn command(&mut self, frame: u64, record: u64, id: CommandId) {
        if id.is_repeatable() {
            let id = id.0.as_bytes();
            self.add(1, [frame, record, id.len() as u64], id);
        }
    }

    /// Takes all rows that a frame leads to.
    pub(crate) fn frame(&mut self, frame: &DecidedFrame) {
        let number = frame.header.slot.frame;
        let mut key = Vec::with_capacity(64);
        for (index, event) in (0_u64..).zip(&frame.events) {
            key.clear();
            push_stream_key(&event.stream, &mut key);
            self.pointer(number, index, event.version, &key);
        }
        for (index, command) in frame.repeatable() {
            self.command(number, index, command.id);
        }
    }

    fn add<const N: usize>(&mut self, kind: u8, head: [u64; N], name: &[u8]) {
        let mut row = self.keyed.clone();
        row.update([kind]);
        head.iter().for_each(|number| row.update(number.to_le_bytes()));
        row.update(name);
        let hash: Hash = row.finalize().into();
        let mut carry = false;
        for (limb, bytes) in self.sum.iter_mut().zip(hash.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            let (sum, over) = limb.overflowing_add(u64::from_le_bytes(eight));
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || over_again);
        }
        self.rows += 1;
        self.saw(head[0]);
    }

    /// What it saw and took.
    pub(crate) fn finish(&self) -> DerivedRows {
        let mut digest = Sha256::new().chain_update(self.rows.to_le_bytes());
        self.sum.iter().for_each(|limb| digest.update(limb.to_le_bytes()));
        DerivedRows { digest: digest.finalize().into(), last_frame: self.last_frame }
    }
}

/// Tenant, type and id, each prefixed by its length (u32, big-endian), so that no two streams share a key.
pub(crate) fn push_stream_key(stream: &StreamId, out: &mut Vec<u8>) {
    for part in [stream.tenant(), stream.kind(), stream.id()] {
        // Requests are bounded far below 4 GiB.
        out.extend_from_slice(&(part.len() as u32).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
}

/// See [`push_stream_key`].
pub(crate) fn stream_key(stream: &StreamId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    push_stream_key(stream, &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: u8, rows: &[(u64, &[u8])]) -> Hash {
        let mut digest = DerivedDigest::new(&[key; 32]);
        rows.iter().for_each(|(frame, stream)| digest.pointer(*frame, 0, 1, stream));
        digest.finish().digest
    }

    // proves: P8
    #[test]
    fn the_order_of_rows_is_nothing_and_every_row_is_something() {
        let rows: Vec<(u64, &[u8])> = vec![(1, b"a"), (2, b"b"), (3, b"c")];
        let turned: Vec<_> = rows.iter().rev().copied().collect();
        assert_eq!(digest(1, &rows), digest(1, &turned));
        assert_ne!(digest(1, &rows), digest(2, &rows), "the key counts");
        for other in [&rows[..2], &[rows[0], rows[1], (3, b"d")], &[rows[0], rows[1], (4, b"c")]] {
            assert_ne!(digest(1, &rows), digest(1, other));
        }
        let twice = [rows.clone(), vec![rows[0]]].concat();
        assert_ne!(digest(1, &rows), digest(1, &twice));
    }

    #[test]
    fn sums_carry_over_their_limbs() {
        let mut digest = DerivedDigest::new(&[0; 32]);
        digest.sum = [u64::MAX; 4];
        digest.pointer(1, 0, 1, b"a");
        let mut from_zero = DerivedDigest::new(&[0; 32]);
        from_zero.pointer(1, 0, 1, b"a");
        // 2²⁵⁶ − 1 + h = h − 1
        assert_eq!(digest.sum[0], from_zero.sum[0].wrapping_sub(1));
        assert_eq!(digest.sum[1..], from_zero.sum[1..]);
    }
}
