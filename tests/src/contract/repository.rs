//! The contract of the repository for cqrs-es applications, in the manner of cqrs-es's own repository tests.
//! [`repository_contract!`](crate::repository_contract) makes a test of every case over a [`FreshLog`].

use std::collections::HashMap;
use std::sync::Arc;

use command_api::owner::{OwnerConfig, Owners};
use command_api::repository::LogEventRepository;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore, PersistenceError, SerializedEvent};
use cqrs_es::{Aggregate, CqrsFramework, DomainEvent, EventStore};
use domain::aggregate::Registry;
use domain::foreign::RECENT;
use domain::ports::clock::SystemClock;
use domain::ports::log::LogReader;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::owners::FreshLog;
use super::owners::world::Published;

/// Makes a test of every case of the contract.
#[macro_export]
macro_rules! repository_contract {
    ($backend:ty) => {
        $crate::repository_contract!(@ $backend: events_come_back_as_they_were, a_wrong_sequence_is_an_optimistic_lock_error,
            of_two_writers_one_wins, a_long_aggregate_is_read_whole, streams_replay, an_application_runs_on_it,
            a_restart_loses_nothing);
    };
    (@ $backend:ty: $($case:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::contract::repository::$case::<$backend>().await;
        })+
    };
}

/// A bank account, as in cqrs-es's book.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    balance: i64,
}

/// What a customer wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AccountCommand {
    /// To put money in.
    Deposit(i64),
    /// To take money out.
    Withdraw(i64),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AccountEvent {
    /// Money came.
    Deposited {
        /// How much.
        amount: i64,
    },
    /// Money went.
    Withdrawn {
        /// How much.
        amount: i64,
    },
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        match self {
            Self::Deposited { .. } => "Deposited".into(),
            Self::Withdrawn { .. } => "Withdrawn".into(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".into()
    }
}

/// There is not enough.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("insufficient funds")]
pub struct Insufficient;

impl Aggregate for Account {
    const TYPE: &'static str = "Account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = Insufficient;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Insufficient> {
        let event = match command {
            AccountCommand::Deposit(amount) => AccountEvent::Deposited { amount },
            AccountCommand::Withdraw(amount) if amount > self.balance => return Err(Insufficient),
            AccountCommand::Withdraw(amount) => AccountEvent::Withdrawn { amount },
        };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        match event {
            AccountEvent::Deposited { amount } => self.balance += amount,
            AccountEvent::Withdrawn { amount } => self.balance -= amount,
        }
    }
}

async fn owners<B: FreshLog>(backend: &B) -> Arc<Owners> {
    let registry = Arc::new(Registry::default().with_foreign(Account::TYPE));
    let published = Arc::new(Published::default());
    let owners =
        Owners::start(backend.log(), registry, published, Arc::new(SystemClock), OwnerConfig::default())
            .await;
    Arc::new(owners.expect("the store can be taken over"))
}

fn over<B: FreshLog>(backend: &B, owners: &Arc<Owners>) -> LogEventRepository {
    LogEventRepository::new(owners.clone(), backend.log() as Arc<dyn LogReader>)
}

fn deposited(id: &str, sequence: usize, amount: i64) -> SerializedEvent {
    SerializedEvent::new(
        id.to_owned(),
        sequence,
        Account::TYPE.to_owned(),
        "Deposited".to_owned(),
        "1.0".to_owned(),
        json!({ "Deposited": { "amount": amount } }),
        json!({ "till": "7" }),
    )
}

/// Events come back in order, each as it was given, and only their own aggregate's.
// proves: EVT-1
pub async fn events_come_back_as_they_were<B: FreshLog>() {
    let backend = B::fresh(4).await;
    let repository = over(&backend, &owners(&backend).await);
    assert!(repository.get_events::<Account>("a").await.unwrap().is_empty());
    let two = [deposited("a", 1, 5), deposited("a", 2, 7)];
    repository.persist::<Account>(&two, None).await.unwrap();
    repository.persist::<Account>(&[deposited("b", 1, 1)], None).await.unwrap();
    repository.persist::<Account>(&[], None).await.unwrap();
    assert_eq!(repository.get_events::<Account>("a").await.unwrap(), two);
    assert_eq!(repository.get_last_events::<Account>("a", 1).await.unwrap(), two[1..]);
    assert!(repository.get_last_events::<Account>("a", 2).await.unwrap().is_empty());
    assert!(repository.get_snapshot::<Account>("a").await.unwrap().is_none());
}

/// Events that don't follow the stream's last one are refused, all of them.
// proves: EVT-1
pub async fn a_wrong_sequence_is_an_optimistic_lock_error<B: FreshLog>() {
    let backend = B::fresh(1).await;
    let repository = over(&backend, &owners(&backend).await);
    repository.persist::<Account>(&[deposited("a", 1, 5)], None).await.unwrap();
    for wrong in [
        vec![deposited("a", 1, 1)],
        vec![deposited("a", 3, 1)],
        vec![deposited("a", 2, 1), deposited("a", 4, 1)],
        vec![deposited("a", 2, 1), deposited("a", 2, 1)],
        vec![deposited("a", 0, 1)],
    ] {
        let answer = repository.persist::<Account>(&wrong, None).await;
        assert!(matches!(answer, Err(PersistenceError::OptimisticLockError)), "{wrong:?}: {answer:?}");
    }
    assert_eq!(repository.get_events::<Account>("a").await.unwrap().len(), 1);
}

/// Of two that write after the same event one is told of the other.
// proves: P1, EVT-1
pub async fn of_two_writers_one_wins<B: FreshLog>() {
    let backend = B::fresh(1).await;
    let repository = over(&backend, &owners(&backend).await);
    for sequence in 1..20 {
        let (one, two) = ([deposited("a", sequence, 1)], [deposited("a", sequence, 2)]);
        let (one, two) = tokio::join!(
            repository.persist::<Account>(&one, None),
            repository.persist::<Account>(&two, None)
        );
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        let lost = one.and(two).unwrap_err();
        assert!(matches!(lost, PersistenceError::OptimisticLockError), "{lost:?}");
    }
}

/// More events than the owner keeps in memory are read from the log's rows.
// proves: P5
pub async fn a_long_aggregate_is_read_whole<B: FreshLog>() {
    let backend = B::fresh(1).await;
    let repository = over(&backend, &owners(&backend).await);
    let all: Vec<_> = (1..=3 * RECENT + 5).map(|n| deposited("a", n, 1)).collect();
    for chunk in all.chunks(100) {
        repository.persist::<Account>(chunk, None).await.unwrap();
    }
    assert_eq!(repository.get_events::<Account>("a").await.unwrap(), all);
    assert_eq!(repository.get_last_events::<Account>("a", 10).await.unwrap(), all[10..]);
}

/// A stream replays its events; all streams of a type replay everything once, each in its order.
// proves: AUD-1, EVT-3
pub async fn streams_replay<B: FreshLog>() {
    let backend = B::fresh(4).await;
    let repository = over(&backend, &owners(&backend).await);
    for id in 0..10 {
        for sequence in 1..=5 {
            repository.persist::<Account>(&[deposited(&id.to_string(), sequence, id)], None).await.unwrap();
        }
    }
    let mut one = repository.stream_events::<Account>("3").await.unwrap();
    let mut sequence = 0;
    while let Some(event) = one.next::<Account>(&[]).await {
        sequence += 1;
        assert_eq!(event.unwrap().sequence, sequence);
    }
    assert_eq!(sequence, 5);
    let mut all = repository.stream_all_events::<Account>().await.unwrap();
    let mut last: HashMap<String, usize> = HashMap::new();
    while let Some(event) = all.next::<Account>(&[]).await {
        let event = event.unwrap();
        let last = last.entry(event.aggregate_id).or_default();
        assert_eq!(event.sequence, *last + 1);
        *last = event.sequence;
    }
    assert_eq!(last.len(), 10);
    assert!(last.values().all(|sequence| *sequence == 5));
}

/// The framework runs on it: commands are decided, refused, and keep their metadata.
// proves: EVT-1
pub async fn an_application_runs_on_it<B: FreshLog>() {
    let backend = B::fresh(4).await;
    let repository = over(&backend, &owners(&backend).await);
    let store = || PersistedEventStore::<_, Account>::new_event_store(repository.clone());
    let application = CqrsFramework::new(store(), Vec::new(), ());
    application.execute("a", AccountCommand::Deposit(10)).await.unwrap();
    let till = HashMap::from([("till".to_owned(), "7".to_owned())]);
    application.execute_with_metadata("a", AccountCommand::Withdraw(4), till.clone()).await.unwrap();
    application.execute("a", AccountCommand::Withdraw(7)).await.unwrap_err();
    let events = store().load_events("a").await.unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].metadata, till);
    assert_eq!(events[1].payload, AccountEvent::Withdrawn { amount: 4 });
}

/// Other owners of the same log go on where the last ones ended.
// proves: P5
pub async fn a_restart_loses_nothing<B: FreshLog>() {
    let backend = B::fresh(2).await;
    let first = owners(&backend).await;
    let before = over(&backend, &first);
    before.persist::<Account>(&[deposited("a", 1, 5), deposited("a", 2, 6)], None).await.unwrap();
    first.stop().await;
    let after = over(&backend, &owners(&backend).await);
    assert_eq!(after.get_events::<Account>("a").await.unwrap().len(), 2);
    after.persist::<Account>(&[deposited("a", 3, 1)], None).await.unwrap();
}
