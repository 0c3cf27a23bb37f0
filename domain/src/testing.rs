//! What the tests of the aggregates share: fixed ids and instants, given/when/then over cqrs-es's own kit, and the properties
//! that hold for any sequence of commands.

use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use uuid::Uuid;

use crate::Timestamp;
use crate::aggregate::{Aggregate, DecisionContext, EventSet, Registry, StreamMeta};
use crate::money::{Currency, Money};
use crate::personal::Sealed;
use crate::stream::{DEFAULT_TENANT, StreamId};

/// The id of the stream under test.
pub(super) const SUBJECT: Uuid = Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_00aa);

/// A fixed id.
pub(super) fn id(n: u8) -> Uuid {
    Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

/// Seconds after a fixed instant.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_735_689_600 + seconds, 0).unwrap()
}

pub(super) fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::Usd)
}

pub(super) fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::Eur)
}

pub(super) fn sealed(text: &str) -> Sealed {
    Sealed::from_text(format!("v1.{text}"))
}

fn stream<A: Aggregate>() -> StreamId {
    StreamId::new(DEFAULT_TENANT, A::TYPE, SUBJECT)
}

pub(super) fn context<A: Aggregate>(seconds: i64) -> DecisionContext {
    DecisionContext { stream: stream::<A>(), now: at(seconds), version: 0 }
}

/// Given these events, at second 0.
pub(super) fn given<A: Aggregate>(events: &[A::Event]) -> AggregateTestExecutor<A> {
    given_at(0, events)
}

/// Given these events, at a second.
pub(super) fn given_at<A: Aggregate>(seconds: i64, events: &[A::Event]) -> AggregateTestExecutor<A> {
    TestFramework::with(context::<A>(seconds)).given(events.to_vec())
}

/// The state after these events.
pub(super) fn state_of<A: Aggregate>(events: &[A::Event]) -> A {
    let mut state = A::default();
    events.iter().for_each(|event| state.evolve(event));
    state
}

/// The answer after these events.
pub(super) fn answer_of<A: Aggregate>(events: &[A::Event]) -> Option<serde_json::Value> {
    let meta = StreamMeta {
        stream: stream::<A>(),
        version: events.len() as u64,
        created_at: at(0),
        updated_at: at(60),
    };
    state_of::<A>(events).answer(&meta)
}

/// The properties of an aggregate, checked after every command of a sequence.
pub(super) struct Properties<A: Aggregate> {
    /// Panics when the state breaks an invariant.
    pub(super) invariant: fn(&A),
    /// Whether deciding the command a second time at once changes nothing.
    pub(super) repeatable: fn(&A::Command) -> bool,
    /// Whether deciding the command again at any later time changes nothing.
    pub(super) resendable: fn(&A::Command) -> bool,
}

impl<A: Aggregate + PartialEq + std::fmt::Debug> Properties<A> {
    /// Runs the commands, each so many seconds after the one before; answers the state and its events.
    pub(super) fn hold_for(&self, commands: &[(u8, A::Command)]) -> (A, Vec<A::Event>) {
        let registry = Registry::default().with::<A>();
        let mut replayed = registry.initial(A::TYPE).unwrap();
        let mut live = A::default();
        let mut all = Vec::new();
        let mut effective = Vec::new();
        let mut now = 0;
        for (pause, command) in commands {
            now += i64::from(*pause);
            let context = context::<A>(now);
            let decided = live.decide(command, &context);
            assert_eq!(decided, live.decide(command, &context), "a decision is pure");
            let Ok(events) = decided else { continue };
            for event in &events {
                live.evolve(event);
                // What the log keeps is the encoded form.
                replayed.apply(event.dotted_type(), event.schema_version(), &event.encode()).unwrap();
            }
            (self.invariant)(&live);
            assert_eq!(replayed.as_any().downcast_ref(), Some(&live), "a replay equals the live state");
            if (self.repeatable)(command) {
                assert_no_events(&live, command, &context);
            }
            if !events.is_empty() && (self.resendable)(command) {
                effective.push(command);
            }
            for earlier in &effective {
                assert_no_events(&live, earlier, &context);
            }
            all.extend(events);
        }
        let restored = registry.restore(A::TYPE, &replayed.snapshot().unwrap()).unwrap();
        assert_eq!(restored.as_any().downcast_ref(), Some(&live), "a snapshot equals the live state");
        (live, all)
    }
}

/// Repeating may be refused, but must not change anything.
fn assert_no_events<A: Aggregate>(state: &A, command: &A::Command, context: &DecisionContext) {
    if let Ok(events) = state.decide(command, context) {
        assert!(events.is_empty(), "repeating {command:?} changes something: {events:?}");
    }
}
