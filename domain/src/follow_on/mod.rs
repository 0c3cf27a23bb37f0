//! Follow-on commands: what a decision has decided in other streams of its shard, in the same frame, all or none.
//!
//! A process manager keeps what it drives beside itself: the streams of one business process live in one shard. Whatever a step leads to
//! there is decided at once, and only what belongs to other shards or to the outside world is work for later.

use std::collections::HashMap;

use crate::Timestamp;
use crate::aggregate::{AnyCommand, Decided, DecisionContext, Registry, StreamState};
use crate::command::{CommandError, CommandRequest, Step};
use crate::event::NewEvent;
use crate::refusal::{Refusal, RefusalKind};
use crate::stream::StreamId;

/// The other streams of the shard, as a decision uses them.
pub trait Neighbours {
    /// Whether a stream is at hand: of this shard, and in memory. What isn't can be commanded from outside only.
    fn reaches(&self, stream: &StreamId) -> bool;

    /// Decides a command for a stream at hand. Its events share the frame with those of the decision that asks, or none of them counts.
    ///
    /// # Errors
    /// The refusal: an outcome like another, for the one who asks.
    fn decide(&mut self, stream: &StreamId, command: &dyn AnyCommand) -> Result<(), Refusal>;
}

/// Nobody is at hand.
pub struct Alone;

impl Neighbours for Alone {
    fn reaches(&self, _: &StreamId) -> bool {
        false
    }

    fn decide(&mut self, stream: &StreamId, _: &dyn AnyCommand) -> Result<(), Refusal> {
        Err(not_at_hand(stream))
    }
}

/// What goes on by itself from what is decided in a shard: a process manager's way in.
pub trait Process: Send + Sync + 'static {
    /// The streams that the follow-on commands of a command may reach, the command's own left out; those in other shards don't matter.
    /// They are brought to memory first. Where the command's stream is fresh, so are they.
    fn reaches(&self, stream: &StreamId, command: &dyn AnyCommand, shards: u16) -> Vec<StreamId>;

    /// The commands that follow from what was decided in a stream. One that is refused refuses the whole.
    fn follows(&self, stream: &StreamId, decided: &Decided) -> Vec<Step>;
}

/// The states that a decision starts from.
pub trait Loaded {
    /// A stream's state and version; `None` when it isn't in memory.
    fn get(&self, stream: &StreamId) -> Option<(&dyn StreamState, u64)>;
}

/// What a command decided in one stream, in the order of the log.
pub struct Decision {
    /// The stream.
    pub stream: StreamId,
    /// Its version before.
    pub version: u64,
    /// For the log.
    pub events: Vec<NewEvent>,
    /// For the state.
    pub effect: Effect,
}

/// How a stream's state takes in what was decided for it.
pub enum Effect {
    /// It folds this.
    Fold(Decided),
    /// It becomes this: the stream was decided for more than once, and this is what came of all.
    Become(Box<dyn StreamState>),
    /// Another decision of the same command has the effect.
    Elsewhere,
}

/// So many decisions a command may lead to; a process that goes on and on is a fault of its own.
const MAX_DECISIONS: usize = 1_000;

fn not_at_hand(stream: &StreamId) -> Refusal {
    Refusal {
        kind: RefusalKind::Conflict,
        code: "not-at-hand".to_owned(),
        detail: format!("{stream} is not at hand"),
    }
}

/// Decides every step of a command, and what follows from it. Nothing changes yet, so a refusal leaves nothing behind.
///
/// # Errors
/// The first refusal of a step or of what follows from it; [`CommandError::Internal`] for a stream that isn't loaded.
pub fn decide(
    request: &CommandRequest,
    loaded: &dyn Loaded,
    registry: &Registry,
    now: Timestamp,
) -> Result<Vec<Decision>, CommandError> {
    let mut deciding = Deciding {
        loaded,
        registry,
        now,
        entries: Vec::new(),
        states: HashMap::new(),
        under_way: Vec::new(),
        fault: None,
    };
    for step in &request.steps {
        deciding.run(&step.stream, &*step.command, step.expected_version)?;
    }
    if let Some(fault) = deciding.fault {
        return Err(fault);
    }
    Ok(deciding.finish())
}

struct Entry {
    stream: StreamId,
    /// Before these events.
    version: u64,
    events: Vec<NewEvent>,
    /// `None` once a state of [`Deciding::states`] holds it.
    decided: Option<Decided>,
}

struct Deciding<'a> {
    loaded: &'a dyn Loaded,
    registry: &'a Registry,
    now: Timestamp,
    entries: Vec<Entry>,
    /// Of streams that are decided for more than once: what they have become.
    states: HashMap<StreamId, Box<dyn StreamState>>,
    under_way: Vec<StreamId>,
    /// Not a refusal, so no outcome that somebody could go by.
    fault: Option<CommandError>,
}

impl Deciding<'_> {
    fn run(
        &mut self,
        stream: &StreamId,
        command: &dyn AnyCommand,
        expected: Option<u64>,
    ) -> Result<(), CommandError> {
        let internal = |reason: &str| Err(CommandError::Internal(format!("{stream} {reason}")));
        let Some((base, loaded)) = self.loaded.get(stream) else { return internal("is not in memory") };
        if self.under_way.contains(stream) {
            return internal("is being decided for already");
        }
        if self.entries.len() >= MAX_DECISIONS {
            return internal("leads to too many follow-on commands");
        }
        let before = self.entries.iter().rfind(|entry| entry.stream == *stream);
        let version = before.map_or(loaded, |entry| entry.version + entry.events.len() as u64);
        if let Some(expected) = expected.filter(|expected| *expected != version) {
            return Err(stale(expected, version).into());
        }
        let context = DecisionContext { stream: stream.clone(), now: self.now, version };
        let become_so = if version > loaded { Some(self.state(stream, base)) } else { None };
        // Its own events come before those of its follow-on commands.
        let at = self.entries.len();
        self.entries.push(Entry { stream: stream.clone(), version, events: Vec::new(), decided: None });
        self.under_way.push(stream.clone());
        let decided = become_so.as_deref().unwrap_or(base).decide_beside(command, &context, self);
        self.under_way.pop();
        if let Some(state) = become_so {
            self.states.insert(stream.clone(), state);
        }
        let mut decided = match decided {
            Ok(decided) => decided,
            Err(refusal) => {
                // What was decided for it by others can't be taken back alone.
                if self.entries.len() > at + 1 {
                    self.fault.get_or_insert_with(|| {
                        CommandError::Internal(format!(
                            "{stream} refused what it had others decide: {refusal}"
                        ))
                    });
                }
                self.entries.truncate(at);
                return Err(refusal.into());
            }
        };
        let mut following = Vec::new();
        for process in self.registry.processes() {
            following.extend(process.follows(stream, &decided));
        }
        self.entries[at].events = std::mem::take(&mut decided.events);
        match self.states.get_mut(stream) {
            Some(state) => state.evolve(decided),
            None => self.entries[at].decided = Some(decided),
        }
        for step in following {
            self.run(&step.stream, &*step.command, step.expected_version)?;
        }
        Ok(())
    }

    /// What a stream has become by this command so far.
    fn state(&mut self, stream: &StreamId, base: &dyn StreamState) -> Box<dyn StreamState> {
        if let Some(state) = self.states.remove(stream) {
            return state;
        }
        let mut state = base.boxed_clone();
        for entry in self.entries.iter_mut().filter(|entry| entry.stream == *stream) {
            if let Some(decided) = entry.decided.take() {
                state.evolve(decided);
            }
        }
        state
    }

    fn finish(mut self) -> Vec<Decision> {
        let decision = |entry: Entry| {
            let effect = match (entry.decided, self.states.remove(&entry.stream)) {
                (Some(decided), _) => Effect::Fold(decided),
                (None, Some(state)) => Effect::Become(state),
                (None, None) => Effect::Elsewhere,
            };
            Decision { stream: entry.stream, version: entry.version, events: entry.events, effect }
        };
        self.entries.into_iter().map(decision).collect()
    }
}

impl Neighbours for Deciding<'_> {
    fn reaches(&self, stream: &StreamId) -> bool {
        !self.under_way.contains(stream) && self.loaded.get(stream).is_some()
    }

    fn decide(&mut self, stream: &StreamId, command: &dyn AnyCommand) -> Result<(), Refusal> {
        match self.run(stream, command, None) {
            Ok(()) => Ok(()),
            Err(CommandError::Refused(refusal)) => Err(refusal),
            Err(fault) => {
                self.fault.get_or_insert(fault);
                Err(not_at_hand(stream))
            }
        }
    }
}

fn stale(expected: u64, current: u64) -> Refusal {
    // No stream has this version: the client's tag is none of ours.
    let stated = if expected == u64::MAX { "the one stated".to_owned() } else { expected.to_string() };
    Refusal {
        kind: RefusalKind::StaleVersion,
        code: "stale-version".to_owned(),
        detail: format!("the resource has version {current}, not {stated}"),
    }
}

#[cfg(test)]
mod tests;
