//! Aggregates: typed for those who write them, erased for the frame loop that runs them.
//!
//! An aggregate is a `cqrs_es::Aggregate` whose decision is a pure function. The frame loop knows no aggregate by name; it
//! looks the stream's type up in a [`Registry`] and works on a [`StreamState`].

use std::any::Any;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Timestamp;
use crate::event::NewEvent;
use crate::follow_on::{Alone, Neighbours, Process};
use crate::foreign::{Append, ForeignStream};
use crate::refusal::{DomainError, Refusal, RefusalKind};
use crate::stream::StreamId;
use crate::upcast::{DecodeError, EventType};

/// What a decision may know besides the aggregate's state.
#[derive(Debug, Clone)]
pub struct DecisionContext {
    /// The stream that is being decided for.
    pub stream: StreamId,
    /// The instant of the decision; the events get the same.
    pub now: Timestamp,
    /// The stream's version so far; 0 when it has no event.
    pub version: u64,
}

/// What the log knows of a stream besides its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMeta {
    /// The stream.
    pub stream: StreamId,
    /// Its version; 0 when it has no event.
    pub version: u64,
    /// When its first event was decided.
    pub created_at: Timestamp,
    /// When its last event was decided.
    pub updated_at: Timestamp,
}

/// An enum of one aggregate's events; written with the [`events!`](crate::events) macro.
pub trait EventSet: cqrs_es::DomainEvent + Sized + 'static {
    /// The type of every event of the set.
    const TYPES: &'static [EventType];

    /// The dotted type, `order.placed`.
    fn dotted_type(&self) -> &'static str;

    /// The current schema version of this event's type.
    fn schema_version(&self) -> u16;

    /// The payload as JSON text.
    fn encode(&self) -> String;

    /// Reads a payload of the current schema version.
    ///
    /// # Errors
    /// When the type is not of this set or the payload doesn't have its shape.
    fn decode(event_type: &str, data: &str) -> Result<Self, DecodeError>;

    /// Reads a stored payload of any version up to the current one.
    ///
    /// # Errors
    /// An unknown type, a version that is none, or a payload without the type's shape.
    fn read(event_type: &str, schema_version: u16, data: &str) -> Result<Self, DecodeError> {
        let Some(known) = Self::TYPES.iter().find(|known| known.name == event_type) else {
            return Err(DecodeError::unknown_type(event_type));
        };
        match known.upcast(schema_version, data)? {
            None => Self::decode(event_type, data),
            Some(upcast) => Self::decode(event_type, &upcast),
        }
    }
}

/// An aggregate of the shop: a cqrs-es aggregate over a pure decision.
pub trait Aggregate:
    cqrs_es::Aggregate<
        Services = DecisionContext,
        Error: DomainError,
        Event: EventSet,
        Command: CommandPayload,
    > + Clone
    + 'static
{
    /// Grows when the stored shape of the state or the meaning of its fold changes; older snapshots are then ignored.
    const FOLD: u32 = 1;

    /// Decides a command. Pure: the same state, command and context give the same events.
    ///
    /// # Errors
    /// The refusal, with nothing changed.
    fn decide(
        &self,
        command: &Self::Command,
        context: &DecisionContext,
    ) -> Result<Vec<Self::Event>, Self::Error>;

    /// Decides a command with other streams of the shard at hand: a process manager has its follow-on commands decided there.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    fn decide_beside(
        &self,
        command: &Self::Command,
        context: &DecisionContext,
        _neighbours: &mut dyn Neighbours,
    ) -> Result<Vec<Self::Event>, Self::Error> {
        self.decide(command, context)
    }

    /// Folds one event into the state. Total: an event that was decided is a fact.
    fn evolve(&mut self, event: &Self::Event);

    /// Bytes that the state takes in memory, about. To be told where it may hold many things: an owner bounds what it keeps by it.
    fn weight(&self) -> usize {
        // With the texts that a state usually has.
        size_of::<Self>() + 1_024
    }

    /// What a client is told about the aggregate after a command, without personal data in the clear.
    fn answer(&self, _meta: &StreamMeta) -> Option<Value> {
        None
    }
}

/// A command that can cross to a stream's owner: typed here, JSON between machines.
pub trait CommandPayload: Any + std::fmt::Debug + Send + Sync + Clone + Serialize + DeserializeOwned {}
impl<T: Any + std::fmt::Debug + Send + Sync + Clone + Serialize + DeserializeOwned> CommandPayload for T {}

/// A command with its type erased.
pub trait AnyCommand: Any + std::fmt::Debug + Send + Sync {
    /// For the aggregate to downcast.
    fn as_any(&self) -> &dyn Any;

    /// For another machine.
    ///
    /// # Errors
    /// When the command has no JSON form.
    fn to_json(&self) -> serde_json::Result<Value>;
}

impl<T: CommandPayload> AnyCommand for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }
}

/// The accepted outcome of one decision: the events for the log, and the same events for [`StreamState::evolve`].
pub struct Decided {
    /// In order.
    pub events: Vec<NewEvent>,
    typed: Box<dyn Any + Send>,
}

impl Decided {
    /// Events as the log keeps them, and the same for the state that decided them.
    #[must_use]
    pub fn new<T: Any + Send>(events: Vec<NewEvent>, typed: T) -> Self {
        Self { events, typed: Box::new(typed) }
    }

    /// What [`Decided::new`] was given for the state, to look at; `None` when it is of another type.
    #[must_use]
    pub fn typed<T: Any>(&self) -> Option<&T> {
        self.typed.downcast_ref()
    }

    /// What [`Decided::new`] was given for the state; `None` when it was of another type.
    #[must_use]
    pub fn into_typed<T: Any>(self) -> Option<T> {
        self.typed.downcast().ok().map(|typed| *typed)
    }
}

/// A stream's state with its aggregate type erased.
pub trait StreamState: Send + Sync {
    /// Decides a command against this state, which stays as it is.
    ///
    /// # Errors
    /// The aggregate's refusal; also when the command is of another aggregate's type.
    fn decide(&self, command: &dyn AnyCommand, context: &DecisionContext) -> Result<Decided, Refusal> {
        self.decide_beside(command, context, &mut Alone)
    }

    /// Decides a command with other streams of the shard at hand.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    fn decide_beside(
        &self,
        command: &dyn AnyCommand,
        context: &DecisionContext,
        neighbours: &mut dyn Neighbours,
    ) -> Result<Decided, Refusal>;

    /// Folds what this same aggregate decided.
    fn evolve(&mut self, decided: Decided);

    /// Folds one event read from the log, upcasting an old schema version first.
    ///
    /// # Errors
    /// When the event can't be decoded; the state is unchanged.
    fn apply(&mut self, event_type: &str, schema_version: u16, data: &str) -> Result<(), DecodeError>;

    /// See [`Aggregate::answer`].
    fn answer(&self, meta: &StreamMeta) -> Option<Value>;

    /// See [`Aggregate::weight`].
    fn weight(&self) -> usize;

    /// Names what computes this state: the same for all states of an aggregate type while its [`Aggregate::FOLD`] is.
    fn fold_id(&self) -> FoldId;

    /// The state as JSON.
    ///
    /// # Errors
    /// When the state has no JSON form.
    fn to_json(&self) -> serde_json::Result<Value>;

    /// The state as a snapshot.
    ///
    /// # Errors
    /// When the state has no JSON form.
    fn snapshot(&self) -> serde_json::Result<SnapshotState>;

    /// A copy.
    fn boxed_clone(&self) -> Box<dyn StreamState>;

    /// For [`crate::ports::gateway::StreamView::state`].
    fn as_any(&self) -> &dyn Any;
}

/// The name of a fold: SHA-256("fold" ‖ 0 ‖ type ‖ 0 ‖ FOLD as decimal), its first half.
pub type FoldId = [u8; 16];

/// A snapshot's contents: derived data, ignored when `fold` is not what today's code computes for `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotState {
    /// The state, JSON text.
    pub state: String,
    /// SHA-256(type ‖ 0 ‖ FOLD as decimal ‖ 0 ‖ state); of a stored one [`FoldId`] ‖ the first half of that, so that storage can tell
    /// which snapshots are of the same fold.
    pub fold: [u8; 32],
}

impl SnapshotState {
    /// As it is stored.
    #[must_use]
    pub fn stored_as(mut self, id: FoldId) -> Self {
        self.fold = stored_fold(id, &self.fold);
        self
    }

    /// The fold that a stored one names. Those that were stored before folds had names have one each.
    #[must_use]
    pub fn fold_id(&self) -> FoldId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.fold[..16]);
        id
    }

    /// Whether it is this fold's, and unchanged since; `hash` is what the fold computes for its state.
    pub(crate) fn is_of(&self, id: FoldId, hash: &[u8; 32]) -> bool {
        self.fold == *hash || self.fold == stored_fold(id, hash)
    }
}

fn stored_fold(id: FoldId, hash: &[u8; 32]) -> [u8; 32] {
    let mut fold = *hash;
    fold.copy_within(..16, 16);
    fold[..16].copy_from_slice(&id);
    fold
}

/// See [`FoldId`].
pub(crate) fn fold_id(kind: &str, fold: &str) -> FoldId {
    let hash = Sha256::new()
        .chain_update("fold\0")
        .chain_update(kind)
        .chain_update([0])
        .chain_update(fold)
        .finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

fn fold_hash<A: Aggregate>(state: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(A::TYPE)
        .chain_update([0])
        .chain_update(A::FOLD.to_string())
        .chain_update([0])
        .chain_update(state)
        .finalize()
        .into()
}

/// An event as the log keeps it.
fn stored(event: &impl EventSet) -> NewEvent {
    NewEvent {
        event_type: event.dotted_type().into(),
        schema_version: event.schema_version(),
        data: event.encode(),
    }
}

struct Typed<A: Aggregate> {
    state: A,
}

impl<A: Aggregate> StreamState for Typed<A> {
    fn decide_beside(
        &self,
        command: &dyn AnyCommand,
        context: &DecisionContext,
        neighbours: &mut dyn Neighbours,
    ) -> Result<Decided, Refusal> {
        let Some(command) = command.as_any().downcast_ref::<A::Command>() else {
            return Err(Refusal {
                kind: RefusalKind::Invalid,
                code: "wrong-aggregate".into(),
                detail: format!("the command is not one of a stream of type {}", A::TYPE),
            });
        };
        let typed = self.state.decide_beside(command, context, neighbours)?;
        let events = typed.iter().map(stored).collect();
        Ok(Decided::new(events, typed))
    }

    fn evolve(&mut self, decided: Decided) {
        let events: Option<Vec<A::Event>> = decided.into_typed();
        events.iter().flatten().for_each(|event| self.state.evolve(event));
    }

    fn apply(&mut self, event_type: &str, schema_version: u16, data: &str) -> Result<(), DecodeError> {
        let event: A::Event = A::Event::read(event_type, schema_version, data)?;
        self.state.evolve(&event);
        Ok(())
    }

    fn answer(&self, meta: &StreamMeta) -> Option<Value> {
        self.state.answer(meta)
    }

    fn weight(&self) -> usize {
        self.state.weight()
    }

    fn fold_id(&self) -> FoldId {
        fold_id(A::TYPE, &A::FOLD.to_string())
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.state)
    }

    fn snapshot(&self) -> serde_json::Result<SnapshotState> {
        let state = serde_json::to_string(&self.state)?;
        Ok(SnapshotState { fold: fold_hash::<A>(&state), state })
    }

    fn boxed_clone(&self) -> Box<dyn StreamState> {
        Box::new(Self { state: self.state.clone() })
    }

    fn as_any(&self) -> &dyn Any {
        &self.state
    }
}

/// What the frame loop needs to know of one aggregate type.
struct Kind {
    initial: fn() -> Box<dyn StreamState>,
    restore: fn(&SnapshotState) -> Option<Box<dyn StreamState>>,
    events: &'static [EventType],
    rewritten: fn(&str, u16, &str) -> Result<NewEvent, DecodeError>,
    command: fn(Value) -> serde_json::Result<Box<dyn AnyCommand>>,
}

/// The aggregate types of an application, by the name their streams carry.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Kind>,
    processes: Vec<Box<dyn Process>>,
}

impl Registry {
    /// Adds an aggregate type.
    #[must_use]
    pub fn with<A: Aggregate>(mut self) -> Self {
        let kind = Kind {
            initial: || Box::new(Typed { state: A::default() }),
            restore: |snapshot| {
                let id = fold_id(A::TYPE, &A::FOLD.to_string());
                let current = snapshot.is_of(id, &fold_hash::<A>(&snapshot.state));
                let state: A = current.then(|| serde_json::from_str(&snapshot.state).ok()).flatten()?;
                Some(Box::new(Typed { state }))
            },
            events: A::Event::TYPES,
            rewritten: |event_type, version, data| {
                A::Event::read(event_type, version, data).map(|event| stored(&event))
            },
            command: |json| Ok(Box::new(serde_json::from_value::<A::Command>(json)?)),
        };
        self.kinds.insert(A::TYPE, kind);
        self
    }

    /// Adds the streams of another application's aggregate type; see [`crate::foreign`].
    #[must_use]
    pub fn with_foreign(mut self, kind: &'static str) -> Self {
        let kind_of = Kind {
            initial: || Box::new(ForeignStream::default()),
            restore: |snapshot| Some(Box::new(ForeignStream::restore(snapshot)?)),
            events: &[],
            rewritten: |event_type, _, _| Err(DecodeError::unknown_type(event_type)),
            command: |json| Ok(Box::new(serde_json::from_value::<Append>(json)?)),
        };
        self.kinds.insert(kind, kind_of);
        self
    }

    /// Adds a process: what goes on by itself from what is decided.
    #[must_use]
    pub fn with_process(mut self, process: impl Process) -> Self {
        self.processes.push(Box::new(process));
        self
    }

    /// The processes.
    pub fn processes(&self) -> impl Iterator<Item = &dyn Process> + '_ {
        self.processes.iter().map(|process| &**process)
    }

    /// The other streams of its shard that a command's follow-on commands may reach.
    #[must_use]
    pub fn reach(&self, stream: &StreamId, command: &dyn AnyCommand, shards: u16) -> Vec<StreamId> {
        let reached = self.processes.iter().flat_map(|process| process.reaches(stream, command, shards));
        let mut reached: Vec<StreamId> =
            reached.filter(|other| self.kinds.contains_key(other.kind())).collect();
        // Most commands reach nobody, and need no hash.
        if !reached.is_empty() {
            let shard = stream.shard(shards);
            reached.retain(|other| other.shard(shards) == shard);
        }
        reached
    }

    /// The aggregate types, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.keys().copied()
    }

    /// The event types of all aggregates.
    pub fn event_types(&self) -> impl Iterator<Item = EventType> + '_ {
        self.kinds.values().flat_map(|kind| kind.events.iter().copied())
    }

    /// A stored event of any version up to the current one, as this program would store it.
    ///
    /// # Errors
    /// A type that no aggregate has, or a payload that can't be read.
    pub fn rewritten(&self, event_type: &str, version: u16, data: &str) -> Result<NewEvent, DecodeError> {
        let has = |kind: &&Kind| kind.events.iter().any(|known| known.name == event_type);
        let kind = self.kinds.values().find(has).ok_or_else(|| DecodeError::unknown_type(event_type))?;
        (kind.rewritten)(event_type, version, data)
    }

    /// The state of a stream without events; `None` for a type that nobody registered.
    #[must_use]
    pub fn initial(&self, kind: &str) -> Option<Box<dyn StreamState>> {
        self.kinds.get(kind).map(|k| (k.initial)())
    }

    /// The state that a snapshot holds; `None` when it is of another fold, changed, or of an unknown type.
    #[must_use]
    pub fn restore(&self, kind: &str, snapshot: &SnapshotState) -> Option<Box<dyn StreamState>> {
        self.kinds.get(kind).and_then(|k| (k.restore)(snapshot))
    }

    /// Reads a command that came from another machine; `None` for a type that nobody registered.
    pub fn command(&self, kind: &str, json: Value) -> Option<serde_json::Result<Box<dyn AnyCommand>>> {
        self.kinds.get(kind).map(|k| (k.command)(json))
    }
}

/// Declares an aggregate's events: the enum, its dotted types and schema versions, and its codec. A type beyond version 1 names its
/// [`Upcaster`](crate::upcast::Upcaster)s, one from each version before.
///
/// ```ignore
/// events! {
///     /// What can happen to an order.
///     pub enum OrderEvent {
///         /// The customer placed it.
///         "order.placed" 2 upcast(unchanged) => Placed(OrderPlaced),
///         /// It came to the customer.
///         "order.delivered" 1 => Delivered(OrderDelivered),
///     }
/// }
/// ```
#[macro_export]
macro_rules! events {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$doc:meta])* $dotted:literal $version:literal $(upcast($($step:path),+))? => $variant:ident($payload:ty)),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$doc])* $variant($payload)),+ }

        impl cqrs_es::DomainEvent for $name {
            fn event_type(&self) -> String {
                $crate::aggregate::EventSet::dotted_type(self).to_owned()
            }

            fn event_version(&self) -> String {
                $crate::aggregate::EventSet::schema_version(self).to_string()
            }
        }

        impl $crate::aggregate::EventSet for $name {
            const TYPES: &'static [$crate::upcast::EventType] =
                &[$($crate::upcast::EventType::new($dotted, $version, &[$($($step),+)?])),+];

            fn dotted_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => $dotted),+ }
            }

            fn schema_version(&self) -> u16 {
                match self { $(Self::$variant(_) => $version),+ }
            }

            fn encode(&self) -> String {
                let encoded = match self { $(Self::$variant(data) => serde_json::to_string(data)),+ };
                // Payloads are plain structs with string keys, so serialising them can't fail.
                encoded.expect("an event payload has a JSON form")
            }

            fn decode(event_type: &str, data: &str) -> Result<Self, $crate::upcast::DecodeError> {
                match event_type {
                    $($dotted => serde_json::from_str(data)
                        .map(Self::$variant)
                        .map_err(|e| $crate::upcast::DecodeError::shape(event_type, &e)),)+
                    _ => Err($crate::upcast::DecodeError::unknown_type(event_type)),
                }
            }
        }
    };
}

/// Implements `cqrs_es::Aggregate` as a thin shim over [`Aggregate`](crate::aggregate::Aggregate).
#[macro_export]
macro_rules! cqrs_aggregate {
    ($aggregate:ty, $kind:literal, $command:ty, $event:ty, $error:ty) => {
        impl cqrs_es::Aggregate for $aggregate {
            const TYPE: &'static str = $kind;
            type Command = $command;
            type Event = $event;
            type Error = $error;
            type Services = $crate::aggregate::DecisionContext;

            async fn handle(
                &mut self,
                command: Self::Command,
                context: &Self::Services,
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in $crate::aggregate::Aggregate::decide(self, &command, context)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                $crate::aggregate::Aggregate::evolve(self, &event);
            }
        }
    };
}
