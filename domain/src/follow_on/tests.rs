#![expect(unreachable_pub, reason = "the macro of events makes public enums")]

use serde::{Deserialize, Serialize};

use super::*;
use crate::aggregate::Aggregate;
use crate::command::CommandId;
use crate::refusal::DomainError;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    n: u64,
    refused: u32,
}

crate::events! {
    /// What a tally tells.
    pub enum TallyEvent {
        "tally.added" 1 => Added(Added),
    }
}

/// Adds a number that isn't 0, after it has had others decided for these tallies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Add {
    n: u64,
    first: Vec<(StreamId, Add)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing to add")]
struct Nothing;

impl DomainError for Nothing {
    fn kind(&self) -> RefusalKind {
        RefusalKind::Conflict
    }

    fn code(&self) -> &'static str {
        "nothing"
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally(u64);

crate::cqrs_aggregate!(Tally, "tally", Add, TallyEvent, Nothing);

impl Aggregate for Tally {
    fn decide(&self, command: &Add, context: &DecisionContext) -> Result<Vec<TallyEvent>, Nothing> {
        self.decide_beside(command, context, &mut Alone)
    }

    fn decide_beside(
        &self,
        command: &Add,
        context: &DecisionContext,
        neighbours: &mut dyn Neighbours,
    ) -> Result<Vec<TallyEvent>, Nothing> {
        let mut refused = 0;
        for (stream, add) in &command.first {
            refused += u32::from(neighbours.decide(stream, add).is_err());
        }
        // What was decided before is seen by what comes after.
        assert_eq!(self.0 > 0, context.version > 0);
        if command.n == 0 {
            Err(Nothing)
        } else {
            Ok(vec![TallyEvent::Added(Added { n: command.n, refused })])
        }
    }

    fn evolve(&mut self, event: &TallyEvent) {
        let TallyEvent::Added(added) = event;
        self.0 += added.n;
    }
}

/// A tally of 100 or more has one added to the tally `follower`.
struct Hundreds;

impl Process for Hundreds {
    fn reaches(&self, _: &StreamId, _: &dyn AnyCommand, _: u16) -> Vec<StreamId> {
        vec![stream("follower")]
    }

    fn follows(&self, _: &StreamId, decided: &Decided) -> Vec<Step> {
        let events = decided.typed::<Vec<TallyEvent>>().into_iter().flatten();
        let hundreds = events.filter(|TallyEvent::Added(added)| added.n >= 100);
        hundreds
            .map(|TallyEvent::Added(added)| Step::new(stream("follower"), add(added.n / 100 % 2, [])))
            .collect()
    }
}

fn stream(id: &str) -> StreamId {
    StreamId::new("default", "tally", id)
}

fn add<const N: usize>(n: u64, first: [(StreamId, Add); N]) -> Add {
    Add { n, first: first.to_vec() }
}

fn registry() -> Registry {
    Registry::default().with::<Tally>().with_process(Hundreds)
}

struct Memory(HashMap<StreamId, Box<dyn StreamState>>);

impl Loaded for Memory {
    fn get(&self, stream: &StreamId) -> Option<(&dyn StreamState, u64)> {
        self.0.get(stream).map(|state| (&**state, 0))
    }
}

/// What is decided for the tally `a`: (stream, payload) of every event, and what the tallies have become.
fn decided(command: Add) -> Result<(Vec<String>, Vec<String>), CommandError> {
    let registry = registry();
    let names = ["a", "b", "c", "follower"];
    let load = |name| (stream(name), registry.initial("tally").unwrap());
    let mut memory = Memory(names.map(load).into_iter().collect());
    let request = CommandRequest::new(CommandId::fresh(), "test", vec![Step::new(stream("a"), command)]);
    let now = Timestamp::UNIX_EPOCH;
    let decisions = decide(&request, &memory, &registry, now)?;
    let mut events = Vec::new();
    let mut versions: HashMap<StreamId, u64> = HashMap::new();
    for Decision { stream, version: before, events: new, effect } in decisions {
        let version = versions.entry(stream.clone()).or_default();
        assert_eq!(before, *version, "{stream}");
        *version += new.len() as u64;
        events.extend(new.iter().map(|event| format!("{} {}", stream.id(), event.data)));
        match effect {
            Effect::Fold(decided) => memory.0.get_mut(&stream).unwrap().evolve(decided),
            Effect::Become(state) => drop(memory.0.insert(stream, state)),
            Effect::Elsewhere => {}
        }
    }
    let state = |name: &&str| memory.0[&stream(name)].to_json().unwrap().to_string();
    Ok((events, names.iter().map(state).collect()))
}

fn event(stream: &str, n: u64, refused: u32) -> String {
    format!("{stream} {{\"n\":{n},\"refused\":{refused}}}")
}

// proves: SAG-1
#[test]
fn what_is_decided_for_neighbours_shares_the_frame_and_comes_after() {
    let (events, states) =
        decided(add(1, [(stream("b"), add(2, [(stream("c"), add(3, []))])), (stream("c"), add(4, []))]))
            .unwrap();
    assert_eq!(events, [event("a", 1, 0), event("b", 2, 0), event("c", 3, 0), event("c", 4, 0)]);
    assert_eq!(states, ["1", "2", "7", "0"]);
}

// proves: SAG-1
#[test]
fn a_neighbours_refusal_is_an_outcome_and_leaves_nothing() {
    let (events, states) = decided(add(1, [(stream("b"), add(0, [])), (stream("c"), add(3, []))])).unwrap();
    assert_eq!(events, [event("a", 1, 1), event("c", 3, 0)]);
    assert_eq!(states, ["1", "0", "3", "0"]);
}

// proves: SAG-1
#[test]
fn a_refusal_takes_everything_with_it() {
    let refused = decided(add(0, [])).unwrap_err();
    assert!(matches!(refused, CommandError::Refused(refusal) if refusal.code == "nothing"));
    for after_others in [
        add(0, [(stream("b"), add(1, []))]),
        // The one in between can't be taken back alone.
        add(1, [(stream("b"), add(0, [(stream("c"), add(1, []))]))]),
    ] {
        assert!(decided(after_others).is_err());
    }
}

// proves: SAG-1
#[test]
fn who_is_not_at_hand_or_is_deciding_is_a_fault() {
    for stream in [stream("elsewhere"), stream("a")] {
        let fault = decided(add(1, [(stream, add(1, []))])).unwrap_err();
        assert!(matches!(fault, CommandError::Internal(_)), "{fault:?}");
    }
}

// proves: SAG-1
#[test]
fn a_process_goes_on_from_what_was_decided_wherever_that_was() {
    let (events, states) = decided(add(1, [(stream("b"), add(100, []))])).unwrap();
    assert_eq!(events, [event("a", 1, 0), event("b", 100, 0), event("follower", 1, 0)]);
    assert_eq!(states, ["1", "100", "0", "1"]);
    // A follow-on command that is refused refuses the whole.
    assert!(decided(add(200, [])).is_err());
}
