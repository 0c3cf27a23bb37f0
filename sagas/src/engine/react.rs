//! How a saga reacts to a trigger: pure, and the same trigger twice changes nothing.

use domain::Timestamp;
use domain::aggregate::DecisionContext;
use domain::command::Step;
use domain::follow_on::Neighbours;
use domain::refusal::Refusal;

/// The state of a saga, which is an aggregate of its own, and what it makes of it.
pub trait Saga: Clone {
    /// What it reacts to.
    type Trigger;
    /// What it records.
    type Event;
    /// What followed from an event at once, and is recorded in it.
    type Followed;

    /// What a trigger tells; `None` when it says nothing new, as a repeat does.
    fn fact(&self, trigger: &Self::Trigger, now: Timestamp) -> Option<Self::Event>;

    /// The events that come next by themselves: steps to be carried out, which are commands or calls, deadlines to be set or cleared, an
    /// end. None while it waits for something, and once it has ended. Asked again after it took them in, so it must come to an end: each round
    /// asks for a step, sets or clears a deadline, or changes how the saga stands, each at most once.
    fn next(&self, now: Timestamp) -> Vec<Self::Event>;

    /// Takes an event in.
    fn apply(&mut self, event: &Self::Event);

    /// Whether its streams share its shard. Otherwise every step is a piece of work.
    fn is_together(&self) -> bool;

    /// What comes of an event at once; `None` when nothing does, and it stands for itself.
    fn at_once(&self, event: &Self::Event, beside: &mut Beside<'_>) -> Option<Self::Followed>;

    /// Takes in what followed.
    fn apply_followed(&mut self, followed: &Self::Followed);

    /// Records in an event what followed from it.
    fn keep(event: &mut Self::Event, followed: Vec<Self::Followed>);
}

/// The streams at hand, in which follow-on commands are decided.
pub struct Beside<'a> {
    neighbours: &'a mut dyn Neighbours,
    /// The tenant of all of them.
    pub tenant: &'a str,
}

impl Beside<'_> {
    /// Has a command decided in the same frame; `None` when its stream isn't at hand. A refusal is an outcome.
    pub fn take(&mut self, command: &Step) -> Option<Result<(), Refusal>> {
        let reached = self.neighbours.reaches(&command.stream);
        reached.then(|| self.neighbours.decide(&command.stream, &*command.command))
    }
}

/// What the saga records: first what the trigger says, then what follows from it.
///
/// Where its streams share its shard, what can be decided there is taken at once, by way of `neighbours`, and stands in the fact's own event.
pub fn react<S: Saga>(
    state: &S,
    trigger: &S::Trigger,
    context: &DecisionContext,
    neighbours: &mut dyn Neighbours,
) -> Vec<S::Event> {
    let Some(mut fact) = state.fact(trigger, context.now) else { return Vec::new() };
    let mut state = state.clone();
    state.apply(&fact);
    if !state.is_together() {
        let mut events = vec![fact];
        events.extend(go_on(&mut state, context.now));
        return events;
    }
    let mut beside = Beside { neighbours, tenant: context.stream.tenant() };
    let (mut followed, mut later) = (Vec::new(), Vec::new());
    each(&mut state, context.now, |state, event| match state.at_once(&event, &mut beside) {
        Some(done) => {
            state.apply_followed(&done);
            followed.push(done);
        }
        None => {
            state.apply(&event);
            later.push(event);
        }
    });
    S::keep(&mut fact, followed);
    let mut events = vec![fact];
    events.extend(later);
    events
}

/// What follows by itself from a state, with nothing at hand.
pub fn go_on<S: Saga>(state: &mut S, now: Timestamp) -> Vec<S::Event> {
    let mut events = Vec::new();
    each(state, now, |state, event| {
        state.apply(&event);
        events.push(event);
    });
    events
}

/// Goes on until nothing comes next.
fn each<S: Saga>(state: &mut S, now: Timestamp, mut take: impl FnMut(&mut S, S::Event)) {
    loop {
        let more = state.next(now);
        if more.is_empty() {
            return;
        }
        for event in more {
            take(state, event);
        }
    }
}
