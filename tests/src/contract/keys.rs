//! The contract of [`SubjectKeys`]. [`keys_contract!`](crate::keys_contract) makes a test of every case; the cases are generic over a
//! [`KeysFactory`], so that every backend passes the same ones.

use std::sync::Arc;

use async_trait::async_trait;
use domain::personal::{ERASED, Sealed};
use domain::ports::keys::{KeyError, SubjectKeys};
use domain::stream::StreamId;
use futures::future::join_all;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

/// Opens one key store, again and again.
#[async_trait]
pub trait KeysFactory: Send + Sync {
    /// Opens the store; the first time it is empty.
    async fn open(&self) -> Arc<dyn SubjectKeys>;

    /// How many processes may have it open at once.
    fn processes(&self) -> usize {
        1
    }

    /// Removes it.
    async fn remove(&self) {}
}

fn subject(id: &str) -> StreamId {
    StreamId::new("default", "user", id)
}

/// Sealed values are ciphertext, open again after a restart, and values are looked up by the same digest.
// proves: SEC-6
pub async fn what_was_sealed_opens_again_also_after_a_restart(factory: &dyn KeysFactory) {
    let keys = factory.open().await;
    let sealed = keys.seal(&subject("a"), &["Ada", "ada@example.org"]).await.unwrap();
    assert!(sealed.iter().all(|s| s.as_text().starts_with("v1.") && !s.as_text().contains("Ada")));
    let blind = keys.blind("ada@example.org");
    drop(keys);

    let keys = factory.open().await;
    let opened = keys.open(&subject("a"), &sealed.iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(opened, ["Ada", "ada@example.org"]);
    assert_eq!(keys.blind("ada@example.org"), blind);
    assert_ne!(keys.blind("ada@example.com"), blind);
    assert_eq!(blind.len(), 64);
}

/// What a destroyed key sealed reads as erased for ever, and its subject gets no other key; its neighbours keep theirs.
// proves: SEC-6
pub async fn a_destroyed_key_never_comes_back(factory: &dyn KeysFactory) {
    let keys = factory.open().await;
    let (erased, neighbour, unknown) = (subject("b"), subject("c"), subject("d"));
    let sealed = keys.seal(&erased, &["Bob"]).await.unwrap();
    let other = keys.seal(&neighbour, &["Cleo"]).await.unwrap();
    keys.destroy(&erased).await.unwrap();
    keys.destroy(&erased).await.unwrap();
    keys.destroy(&unknown).await.unwrap();
    let mut before = Some(keys);
    for _ in 0..2 {
        let keys = match before.take() {
            Some(keys) => keys,
            None => factory.open().await,
        };
        assert_eq!(keys.open(&erased, &[&sealed[0]]).await.unwrap(), [ERASED]);
        assert_eq!(keys.seal(&erased, &["Bob"]).await, Err(KeyError::Erased));
        assert_eq!(keys.seal(&unknown, &["Dan"]).await, Err(KeyError::Erased));
        assert_eq!(keys.open(&neighbour, &[&other[0]]).await.unwrap(), ["Cleo"]);
        keys.seal(&neighbour, &["Cleo"]).await.unwrap();
    }
}

/// A value that was changed, or that belongs to another subject, doesn't open.
// proves: SEC-6
pub async fn values_that_were_changed_or_moved_are_broken(factory: &dyn KeysFactory) {
    const PREFIX: usize = "v1.".len();
    let keys = factory.open().await;
    let (a, b) = (subject("a"), subject("b"));
    let sealed = keys.seal(&a, &["Ada"]).await.unwrap().remove(0);
    keys.seal(&b, &["Bob"]).await.unwrap();
    assert_eq!(keys.open(&b, &[&sealed]).await, Err(KeyError::Broken), "another subject's");
    let text = sealed.as_text();
    for at in PREFIX..text.len() {
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = Sealed::from_text(format!("{}{other}{}", &text[..at], &text[at + 1..]));
        assert_eq!(keys.open(&a, &[&changed]).await, Err(KeyError::Broken), "character {at}");
    }
    for text in ["", "v1.", "v2.AAAA", "v1.AAAA", "Ada"] {
        let sealed = Sealed::from_text(text.to_owned());
        assert_eq!(keys.open(&a, &[&sealed]).await, Err(KeyError::Broken), "{text}");
    }
}

/// A subject that was never sealed for has no key, so its values are as if erased; it may get one later.
// proves: SEC-6
pub async fn a_value_of_a_subject_that_never_had_a_key_reads_as_erased(factory: &dyn KeysFactory) {
    let keys = factory.open().await;
    let sealed = Sealed::from_text("v1.AAAA".to_owned());
    assert_eq!(keys.open(&subject("nobody"), &[&sealed]).await.unwrap(), [ERASED]);
    let sealed = keys.seal(&subject("nobody"), &["Nora"]).await.unwrap();
    assert_eq!(keys.open(&subject("nobody"), &[&sealed[0]]).await.unwrap(), ["Nora"]);
}

/// Callers who seal for a new subject at once all seal under one key.
// proves: SEC-6
pub async fn a_subject_gets_one_key_however_many_come_first(factory: &dyn KeysFactory) {
    let mut stores = Vec::new();
    for _ in 0..factory.processes() {
        stores.push(factory.open().await);
    }
    for round in 0..10 {
        let subject = subject(&format!("new-{round}"));
        let all = (0..8).map(|n| {
            let (keys, subject) = (Arc::clone(&stores[n % stores.len()]), subject.clone());
            async move { keys.seal(&subject, &["Eve"]).await.unwrap().remove(0) }
        });
        for sealed in join_all(all).await {
            for keys in &stores {
                assert_eq!(keys.open(&subject, &[&sealed]).await.unwrap(), ["Eve"]);
            }
        }
    }
}

/// Any text survives, and no nonce is used twice.
// proves: SEC-6
pub async fn any_values_survive_until_the_key_is_destroyed(factory: &dyn KeysFactory) {
    let mut rng = SmallRng::seed_from_u64(7);
    let keys = factory.open().await;
    for round in 0..20 {
        let subject = subject(&format!("any-{round}"));
        let values: Vec<String> = (0..rng.random_range(1..5)).map(|_| text(&mut rng)).collect();
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let sealed = keys.seal(&subject, &texts).await.unwrap();
        let again = keys.seal(&subject, &texts).await.unwrap();
        let refs: Vec<&Sealed> = sealed.iter().collect();
        assert_eq!(keys.open(&subject, &refs).await.unwrap(), values);
        assert!(sealed.iter().zip(&again).all(|(a, b)| a != b), "a nonce was used twice");
        keys.destroy(&subject).await.unwrap();
        assert!(keys.open(&subject, &refs).await.unwrap().iter().all(|value| value == ERASED));
    }
}

fn text(rng: &mut impl Rng) -> String {
    let length = rng.random_range(0..200);
    (0..length).map(|_| char::from_u32(rng.random_range(0..0x11_0000)).unwrap_or('\u{0}')).collect()
}

/// Makes a test of every case of the contract.
#[macro_export]
macro_rules! keys_contract {
    ($factory:expr) => {
        $crate::keys_contract!(@cases $factory;
            what_was_sealed_opens_again_also_after_a_restart,
            a_destroyed_key_never_comes_back,
            values_that_were_changed_or_moved_are_broken,
            a_value_of_a_subject_that_never_had_a_key_reads_as_erased,
            a_subject_gets_one_key_however_many_come_first,
            any_values_survive_until_the_key_is_destroyed
        );
    };
    (@cases $factory:expr; $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let factory = $factory;
                $crate::contract::keys::$case(&factory).await;
                $crate::contract::keys::KeysFactory::remove(&factory).await;
            }
        )+
    };
}
