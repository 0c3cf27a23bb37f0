//! A frame's contents: each ready command's pure decision in turn, against decided state plus this frame.

use std::sync::Arc;

use domain::Timestamp;
use domain::aggregate::Registry;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest};
use domain::event::{EventMeta, RecordedEvent, encode_event};
use domain::follow_on::{self, Decision, Effect};
use domain::frame::{CommandRecord, FrameHeader, Tail};
use domain::ports::gateway::StreamView;
use domain::position::Position;
use domain::stream::StreamId;
use uuid::Uuid;

use super::config::MAX_COMMAND_BYTES;
use super::job::{AnswerTo, Job};
use super::overlay::token_position;
use super::streams::{Entry, Streams};

/// An answer that leaves with its frame.
enum Answer {
    /// Accepted, and recorded at this index of the frame's commands.
    Recorded {
        reply: AnswerTo<Accepted>,
        index: usize,
    },
    /// Accepted without a change, under an id that nobody can repeat.
    Unchanged {
        reply: AnswerTo<Accepted>,
        id: CommandId,
        answer: Vec<u8>,
    },
    Refused {
        reply: AnswerTo<Accepted>,
        error: CommandError,
    },
    Read {
        reply: AnswerTo<Vec<StreamView>>,
        views: Vec<StreamView>,
    },
    NotAnswered {
        reply: AnswerTo<Option<Accepted>>,
    },
}

/// A frame being put together, and the answers that wait for it.
pub(super) struct Building {
    now: Timestamp,
    shard: domain::position::Shard,
    first_position: u64,
    pub(super) stored_events: Vec<Vec<u8>>,
    pub(super) events: Vec<Arc<RecordedEvent>>,
    pub(super) records: Vec<CommandRecord>,
    /// Bytes of the events and answers so far.
    pub(super) bytes: usize,
    /// Streams whose state in memory holds this frame's effect.
    pub(super) touched: Vec<StreamId>,
    /// Ids of the commands in this frame that can be repeated.
    pub(super) repeatable: Vec<CommandId>,
    answers: Vec<Answer>,
}

/// About what a command's record takes in a frame beside its answer.
const RECORD_BYTES: usize = 100;

/// The answer's JSON, with what the command wants beside; an aggregate that has none answers nothing.
fn answer_of(entry: &Entry, request: &CommandRequest) -> Vec<u8> {
    let Some(mut answer) = entry.state.answer(&entry.meta) else { return Vec::new() };
    if let (Some(fields), Some(beside)) = (answer.as_object_mut(), &request.beside) {
        fields.extend(beside.clone());
    }
    answer.to_string().into_bytes()
}

impl Building {
    pub(super) fn new(tail: &Tail, now: Timestamp) -> Self {
        Self {
            now,
            shard: tail.slot.shard,
            first_position: tail.next_position,
            stored_events: Vec::new(),
            events: Vec::new(),
            records: Vec::new(),
            bytes: 0,
            touched: Vec::new(),
            repeatable: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether there is something to decide; otherwise its answers only need the tail confirmed.
    pub(super) fn needs_slot(&self) -> bool {
        !self.records.is_empty()
    }

    /// Runs a job. Its streams are in memory, but for those that its command creates.
    pub(super) fn run(&mut self, job: Job, streams: &mut Streams, registry: &Registry, shards: u16) {
        match job {
            Job::Command { request, reply, .. } => {
                if request.id.is_repeatable() {
                    self.repeatable.push(request.id);
                }
                self.decide(&request, reply, streams, registry, shards);
            }
            Job::Read { streams: wanted, reply } => {
                let mut views = Vec::with_capacity(wanted.len());
                for stream in &wanted {
                    if let Some(entry) = streams.get_mut(stream) {
                        views.push(StreamView { meta: entry.meta.clone(), state: entry.state.boxed_clone() });
                    }
                }
                self.answers.push(Answer::Read { reply, views });
            }
            Job::Answered { reply, .. } => self.answers.push(Answer::NotAnswered { reply }),
        }
    }

    fn decide(
        &mut self,
        request: &CommandRequest,
        reply: AnswerTo<Accepted>,
        streams: &mut Streams,
        registry: &Registry,
        shards: u16,
    ) {
        match self.try_decide(request, streams, registry, shards) {
            Err(error) => self.answers.push(Answer::Refused { reply, error }),
            Ok((events, answer)) if events == 0 && !request.id.is_repeatable() => {
                self.answers.push(Answer::Unchanged { reply, id: request.id, answer });
            }
            Ok((events, answer)) => {
                let index = self.records.len();
                self.bytes += RECORD_BYTES + answer.len();
                self.records.push(CommandRecord {
                    id: request.id,
                    body_hash: request.body_hash,
                    first_event: self.events.len() as u64 - events,
                    events,
                    answer,
                });
                self.answers.push(Answer::Recorded { reply, index });
            }
        }
    }

    /// Decides every step, and what follows from it, before any state changes, so that a refusal leaves nothing behind.
    fn try_decide(
        &mut self,
        request: &CommandRequest,
        streams: &mut Streams,
        registry: &Registry,
        shards: u16,
    ) -> Result<(u64, Vec<u8>), CommandError> {
        for step in request.steps.iter().filter(|step| step.fresh) {
            // What a new stream's follow-on commands reach is as new.
            let reached = registry.reach(&step.stream, &*step.command, shards);
            for stream in std::iter::once(&step.stream).chain(&reached) {
                if !streams.contains(stream) {
                    streams.insert(Entry::initial(registry, stream).ok_or_else(|| unknown_type(stream))?);
                }
            }
        }
        let mut decisions = follow_on::decide(request, streams, registry, self.now)?;
        let mut stored = Vec::new();
        let mut recorded: Vec<Arc<RecordedEvent>> = Vec::new();
        for Decision { stream, version: before, events, .. } in &mut decisions {
            let stream = &*stream;
            for (version, event) in (*before + 1..).zip(std::mem::take(events)) {
                let id = Uuid::now_v7();
                let meta = EventMeta {
                    id,
                    time: self.now,
                    stream,
                    version,
                    correlation_id: request.correlation_id,
                    causation_id: request.causation_id,
                    actor: &request.actor,
                };
                let mut bytes = Vec::with_capacity(event.data.len() + 256);
                encode_event(&meta, &event, &mut bytes);
                stored.push(bytes);
                let n = self.first_position + (self.events.len() + recorded.len()) as u64;
                recorded.push(Arc::new(RecordedEvent {
                    id,
                    time: self.now,
                    stream: stream.clone(),
                    version,
                    position: Position { shard: self.shard, n },
                    event_type: event.event_type.into_owned(),
                    schema_version: event.schema_version,
                    correlation_id: request.correlation_id,
                    causation_id: request.causation_id,
                    actor: request.actor.clone(),
                    data: event.data,
                }));
            }
        }
        let size: usize = stored.iter().map(Vec::len).sum();
        if size > MAX_COMMAND_BYTES {
            return Err(CommandError::TooLarge { size, limit: MAX_COMMAND_BYTES });
        }
        // From here on nothing fails: state and frame change together.
        let count = recorded.len() as u64;
        for event in &recorded {
            if let Some(entry) = streams.get_mut(&event.stream) {
                entry.count(event.time);
            }
        }
        for Decision { stream, effect, .. } in decisions {
            if let Some(entry) = streams.get_mut(&stream) {
                match effect {
                    Effect::Fold(decided) => entry.state.evolve(decided),
                    Effect::Become(state) => entry.state = state,
                    Effect::Elsewhere => {}
                }
                self.touched.push(stream);
            }
        }
        let last = request.steps.last().and_then(|step| streams.get_mut(&step.stream));
        let answer = last.map_or_else(Vec::new, |entry| answer_of(entry, request));
        self.bytes += size;
        self.stored_events.extend(stored);
        self.events.extend(recorded);
        Ok((count, answer))
    }

    /// The frame is decided: everybody is answered.
    pub(super) fn answer_decided(self, header: &FrameHeader) {
        let head = Position { shard: header.slot.shard, n: header.last_position() };
        let records = self.records;
        for answer in self.answers {
            match answer {
                Answer::Recorded { reply, index } => {
                    let record = &records[index];
                    reply.send(Ok(Accepted {
                        id: record.id,
                        position: token_position(header, record),
                        events: record.events,
                        answer: record.answer.clone(),
                        repeated: false,
                    }));
                }
                other => other.leave(head),
            }
        }
    }

    /// The tail is confirmed, for a batch that appends nothing.
    pub(super) fn answer_confirmed(self, tail: &Tail) {
        let head = Position { shard: tail.slot.shard, n: tail.head() };
        self.answers.into_iter().for_each(|answer| answer.leave(head));
    }

    /// The frame was not decided: nobody's answer counts, refusals included. `found` knows of commands that the log holds
    /// all the same, or may hold.
    pub(super) fn answer_lost(
        self,
        error: &CommandError,
        mut found: impl FnMut(&CommandRecord) -> Option<Result<Accepted, CommandError>>,
    ) {
        let records = self.records;
        for answer in self.answers {
            match answer {
                Answer::Recorded { reply, index } => {
                    reply.send(found(&records[index]).unwrap_or_else(|| Err(error.clone())));
                }
                Answer::Unchanged { reply, .. } | Answer::Refused { reply, .. } => {
                    reply.send(Err(error.clone()))
                }
                Answer::Read { reply, .. } => reply.send(Err(error.clone())),
                Answer::NotAnswered { reply } => reply.send(Err(error.clone())),
            }
        }
    }
}

impl Answer {
    /// Leaves with a head that is known to be decided.
    fn leave(self, head: Position) {
        match self {
            Self::Unchanged { reply, id, answer } => {
                reply.send(Ok(Accepted { id, position: head, events: 0, answer, repeated: false }));
            }
            Self::Refused { reply, error } => reply.send(Err(error)),
            Self::Read { reply, views } => reply.send(Ok(views)),
            Self::NotAnswered { reply } => reply.send(Ok(None)),
            // Only frames hold records, and their answers are sent with the frame.
            Self::Recorded { reply, .. } => {
                reply.send(Err(CommandError::Internal("a recorded command left without its frame".into())));
            }
        }
    }
}

fn unknown_type(stream: &StreamId) -> CommandError {
    CommandError::Internal(format!("no aggregate of type {}", stream.kind()))
}
