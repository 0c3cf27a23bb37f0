//! Frames: the unit of commit, and its stored form (format 1, frozen).
//!
//! ```text
//! frame   = "TSF1" ‖ header ‖ leaves ‖ events ‖ commands
//! header  = store id (16) ‖ shard (u16) ‖ frame (u64) ‖ epoch (u64) ‖ nonce (16) ‖ first position (u64)
//!           ‖ event count (varint) ‖ command count (varint) ‖ previous hash (32) ‖ root (32) ‖ hash (32)
//! leaves  = event leaves (32 each) ‖ command leaves (32 each)
//! events  = byte string each (see `RecordedEvent`)
//! command = byte string of: id (16) ‖ body hash (32) ‖ first event (varint) ‖ events (varint) ‖ answer (byte string)
//! root    = Merkle root over all leaves (see `merkle`)
//! hash    = H(0x01 ‖ format (u16) ‖ store id ‖ shard ‖ frame ‖ epoch ‖ nonce ‖ first position ‖ event count (u64)
//!           ‖ command count (u64) ‖ previous hash ‖ root)
//! ```
//! Integers are little-endian, varints unsigned LEB128; a byte string is its length as a varint, then its bytes. Frame 1
//! has 32 zero bytes as its previous hash. A frame without events is a fence (no commands) or records accepted commands that
//! changed nothing.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::command::CommandId;
use crate::event::RecordedEvent;
use crate::merkle::{self, Hash};
use crate::position::{Position, Shard};
pub use crate::wire::WireError;
use crate::wire::{Reader, put_bytes, put_varint};

/// The number of the stored format.
pub const FORMAT: u16 = 1;
const MAGIC: &[u8; 4] = b"TSF1";

/// The place of a frame: decided once, by P1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The shard.
    pub shard: Shard,
    /// The frame's number in the shard, from 1.
    pub frame: u64,
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "frame {} of shard {}", self.frame, self.shard)
    }
}

/// Names a frame of a shard for good: its number, and the hash that holds for it and for every frame before it. A log that was put
/// back from an older copy and went on has other hashes from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameId {
    /// The frame's number in the shard.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A frame's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// The store that the frame belongs to.
    pub store: Uuid,
    /// Its place.
    pub slot: Slot,
    /// The owner's epoch; never below the previous frame's.
    pub epoch: u64,
    /// Random per proposal: tells whose row an occupied slot holds.
    pub nonce: Uuid,
    /// The position of the first event, or of the next one when there is none.
    pub first_position: u64,
    /// How many events.
    pub events: u64,
    /// How many command records.
    pub commands: u64,
    /// The hash of the frame before; zeros for the first.
    pub previous: Hash,
    /// The Merkle root over events and commands.
    pub root: Hash,
}

impl FrameHeader {
    /// The frame's hash; see the module's documentation.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Sha256::new()
            .chain_update([merkle::FRAME])
            .chain_update(FORMAT.to_le_bytes())
            .chain_update(self.store.as_bytes())
            .chain_update(self.slot.shard.0.to_le_bytes())
            .chain_update(self.slot.frame.to_le_bytes())
            .chain_update(self.epoch.to_le_bytes())
            .chain_update(self.nonce.as_bytes())
            .chain_update(self.first_position.to_le_bytes())
            .chain_update(self.events.to_le_bytes())
            .chain_update(self.commands.to_le_bytes())
            .chain_update(self.previous)
            .chain_update(self.root)
            .finalize()
            .into()
    }

    /// The last position of the shard once this frame is decided.
    #[must_use]
    pub fn last_position(&self) -> u64 {
        self.first_position + self.events - 1
    }
}

/// What a frame keeps of one accepted command, so that a repeat gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    /// The scoped command id.
    pub id: CommandId,
    /// SHA-256 of the request's body: a repeat with another body is refused.
    pub body_hash: Hash,
    /// The index in the frame of the command's first event.
    pub first_event: u64,
    /// How many events it produced.
    pub events: u64,
    /// The answer's JSON without personal data in the clear; empty when it has none.
    pub answer: Vec<u8>,
}

impl CommandRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.answer.len());
        out.extend_from_slice(self.id.0.as_bytes());
        out.extend_from_slice(&self.body_hash);
        put_varint(&mut out, self.first_event);
        put_varint(&mut out, self.events);
        put_bytes(&mut out, &self.answer);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let record = Self {
            id: CommandId(Uuid::from_bytes(reader.array("command id")?)),
            body_hash: reader.array("body hash")?,
            first_event: reader.varint("first event")?,
            events: reader.varint("events")?,
            answer: reader.bytes("answer")?.to_vec(),
        };
        reader.end("command record")?;
        Ok(record)
    }
}

/// Where the next frame of a shard goes and what it must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The next slot.
    pub slot: Slot,
    /// The next position.
    pub next_position: u64,
    /// The last frame's hash.
    pub previous: Hash,
    /// The last frame's epoch.
    pub epoch: u64,
}

impl Tail {
    /// The tail of an empty shard.
    #[must_use]
    pub fn empty(shard: Shard) -> Self {
        Self { slot: Slot { shard, frame: 1 }, next_position: 1, previous: [0; 32], epoch: 0 }
    }

    /// The tail after a frame.
    #[must_use]
    pub fn after(header: &FrameHeader, hash: Hash) -> Self {
        Self {
            slot: Slot { shard: header.slot.shard, frame: header.slot.frame + 1 },
            next_position: header.first_position + header.events,
            previous: hash,
            epoch: header.epoch,
        }
    }

    /// The shard's last position; 0 when it has no event yet.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.next_position - 1
    }
}

/// A frame as bytes, ready to be proposed or as it was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// The header.
    pub header: FrameHeader,
    /// The header's hash.
    pub hash: Hash,
    /// The stored form.
    pub bytes: Vec<u8>,
}

/// Encodes the frame that follows `tail`. `events` are stored forms in order.
#[must_use]
pub fn encode_frame(
    store: Uuid,
    tail: &Tail,
    epoch: u64,
    nonce: Uuid,
    events: &[Vec<u8>],
    commands: &[CommandRecord],
) -> EncodedFrame {
    let commands: Vec<Vec<u8>> = commands.iter().map(CommandRecord::encode).collect();
    let mut leaves: Vec<Hash> = Vec::with_capacity(events.len() + commands.len());
    leaves.extend(events.iter().map(|e| merkle::event_leaf(e)));
    leaves.extend(commands.iter().map(|c| merkle::command_leaf(c)));
    let header = FrameHeader {
        store,
        slot: tail.slot,
        epoch,
        nonce,
        first_position: tail.next_position,
        events: events.len() as u64,
        commands: commands.len() as u64,
        previous: tail.previous,
        root: merkle::root(&leaves),
    };
    let hash = header.hash();
    let body: usize = events.iter().chain(&commands).map(|b| b.len() + 5).sum();
    let mut out = Vec::with_capacity(200 + leaves.len() * 32 + body);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(store.as_bytes());
    out.extend_from_slice(&header.slot.shard.0.to_le_bytes());
    out.extend_from_slice(&header.slot.frame.to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(nonce.as_bytes());
    out.extend_from_slice(&header.first_position.to_le_bytes());
    put_varint(&mut out, header.events);
    put_varint(&mut out, header.commands);
    out.extend_from_slice(&header.previous);
    out.extend_from_slice(&header.root);
    out.extend_from_slice(&hash);
    for leaf in &leaves {
        out.extend_from_slice(leaf);
    }
    for bytes in events.iter().chain(&commands) {
        put_bytes(&mut out, bytes);
    }
    EncodedFrame { header, hash, bytes: out }
}

/// A frame read back, its bytes still in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameView<'a> {
    /// The header.
    pub header: FrameHeader,
    /// The hash that the frame states.
    pub hash: Hash,
    /// The leaves that the frame states: the events', then the commands'.
    pub leaves: Vec<Hash>,
    /// The events' stored forms.
    pub events: Vec<&'a [u8]>,
    /// The commands' stored forms.
    pub commands: Vec<&'a [u8]>,
}

impl<'a> FrameView<'a> {
    /// Reads the stored form. It checks the shape; `verify` checks the hashes.
    ///
    /// # Errors
    /// When the bytes are not exactly one frame of format 1.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        if reader.take(4, "magic")? != MAGIC {
            return Err(WireError::Malformed("magic"));
        }
        let store = Uuid::from_bytes(reader.array("store id")?);
        let shard = Shard(reader.u16("shard")?);
        let frame = reader.u64("frame number")?;
        let epoch = reader.u64("epoch")?;
        let nonce = Uuid::from_bytes(reader.array("nonce")?);
        let first_position = reader.u64("first position")?;
        let events = reader.len("event count")?;
        let commands = reader.len("command count")?;
        let header = FrameHeader {
            store,
            slot: Slot { shard, frame },
            epoch,
            nonce,
            first_position,
            events: events as u64,
            commands: commands as u64,
            previous: reader.array("previous hash")?,
            root: reader.array("root")?,
        };
        if first_position == 0 || frame == 0 || first_position.checked_add(header.events).is_none() {
            return Err(WireError::Malformed("header"));
        }
        let hash = reader.array("hash")?;
        let count = events.checked_add(commands).ok_or(WireError::Malformed("counts"))?;
        if count.checked_mul(32).is_none_or(|n| n > reader.remaining()) {
            return Err(WireError::Truncated("leaves"));
        }
        let leaves = (0..count).map(|_| reader.array("leaf")).collect::<Result<_, _>>()?;
        let events = (0..events).map(|_| reader.bytes("event")).collect::<Result<_, _>>()?;
        let commands = (0..commands).map(|_| reader.bytes("command")).collect::<Result<_, _>>()?;
        reader.end("frame")?;
        Ok(Self { header, hash, leaves, events, commands })
    }

    /// Which frame it is.
    #[must_use]
    pub fn id(&self) -> FrameId {
        FrameId { number: self.header.slot.frame, hash: self.hash }
    }

    /// The position of the event at `index` in the frame.
    #[must_use]
    pub fn position(&self, index: usize) -> Position {
        Position { shard: self.header.slot.shard, n: self.header.first_position + index as u64 }
    }

    /// Decodes the events.
    ///
    /// # Errors
    /// When one of them is not an event of format 1.
    pub fn decode_events(&self) -> Result<Vec<RecordedEvent>, WireError> {
        self.events.iter().enumerate().map(|(i, b)| RecordedEvent::decode(b, self.position(i))).collect()
    }

    /// Decodes the command records.
    ///
    /// # Errors
    /// When one of them is not a record of format 1.
    pub fn decode_commands(&self) -> Result<Vec<CommandRecord>, WireError> {
        self.commands.iter().map(|b| CommandRecord::decode(b)).collect()
    }
}

/// A decided frame, decoded: what the feed and the derived rows are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct DecidedFrame {
    /// The header.
    pub header: FrameHeader,
    /// The header's hash.
    pub hash: Hash,
    /// The events, in order of position.
    pub events: Vec<std::sync::Arc<RecordedEvent>>,
    /// The command records.
    pub commands: Vec<CommandRecord>,
}

impl DecidedFrame {
    /// Which frame it is.
    #[must_use]
    pub fn id(&self) -> FrameId {
        FrameId { number: self.header.slot.frame, hash: self.hash }
    }

    /// The records of commands that can be repeated, each with its index in the frame: what is kept to answer repeats.
    pub fn repeatable(&self) -> impl Iterator<Item = (u64, &CommandRecord)> {
        (0..).zip(&self.commands).filter(|(_, record)| record.id.is_repeatable())
    }

    /// Decodes the stored form.
    ///
    /// # Errors
    /// When the bytes are not exactly one frame of format 1.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let view = FrameView::parse(bytes)?;
        let events = view.decode_events()?.into_iter().map(std::sync::Arc::new).collect();
        Ok(Self { events, commands: view.decode_commands()?, hash: view.hash, header: view.header })
    }
}

#[cfg(test)]
mod tests;
