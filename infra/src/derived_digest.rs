//! The digest over a shard's derived rows, computed alike from the rows and from the log that they were made of.
//!
//! ```text
//! digest   = SHA-256(pointers ‖ commands)
//! pointers = SHA-256 over (frame, event index, version, length of stream, stream) of every event, in order of the log
//! commands = SHA-256 over (frame, record index, length of id, id) of every repeatable command's record, in order of the log
//! ```
//! Numbers are u64, little-endian. The order of the log lets a verifier compute it while it pages through the frames.

use domain::command::CommandId;
use domain::frame::DecidedFrame;
use domain::merkle::Hash;
use domain::stream::StreamId;
use sha2::{Digest, Sha256};

/// The digest under way.
#[derive(Default)]
pub(crate) struct DerivedDigest {
    pointers: Sha256,
    commands: Sha256,
}

impl DerivedDigest {
    /// Takes a pointer, in order of (frame, event).
    pub(crate) fn pointer(&mut self, frame: u64, event: u64, version: u64, stream: &[u8]) {
        let mut head = [0; 32];
        for (at, number) in [frame, event, version, stream.len() as u64].into_iter().enumerate() {
            head[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        self.pointers.update(head);
        self.pointers.update(stream);
    }

    /// Takes a command result, in order of (frame, record). One that nobody can ask for counts as not there.
    pub(crate) fn command(&mut self, frame: u64, record: u64, id: CommandId) {
        if !id.is_repeatable() {
            return;
        }
        let id = id.0.as_bytes();
        let mut head = [0; 24];
        for (at, number) in [frame, record, id.len() as u64].into_iter().enumerate() {
            head[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        self.commands.update(head);
        self.commands.update(id);
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

    /// The digest.
    pub(crate) fn finish(self) -> Hash {
        Sha256::new()
            .chain_update(self.pointers.finalize())
            .chain_update(self.commands.finalize())
            .finalize()
            .into()
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
