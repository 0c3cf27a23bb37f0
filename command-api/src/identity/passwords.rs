//! Passwords: hashed with argon2id, on all cores but one at most, so that a crowd that logs in leaves one to everybody else.

use std::sync::{Arc, OnceLock};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use domain::text::identity;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::web::problem::Problem;
use crate::web::unserved::Unserved;

/// The most hashes that may wait for a core; past it callers are told to come back.
const MOST_WAITING: usize = 32;

/// Hashes and verifies passwords with argon2id (RFC 9106; 19 MiB, two passes, one lane, as OWASP recommends).
pub struct Passwords {
    running: Arc<Semaphore>,
    /// Those that run or wait.
    places: Arc<Semaphore>,
    dummy: Arc<OnceLock<String>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Passwords {
    /// One less at a time than the machine has cores; one where it has one.
    #[must_use]
    pub fn new() -> Self {
        Self::at_once(std::thread::available_parallelism().map_or(1, |cores| cores.get() - 1))
    }

    fn at_once(running: usize) -> Self {
        let running = running.max(1);
        Self {
            running: Arc::new(Semaphore::new(running)),
            places: Arc::new(Semaphore::new(running + MOST_WAITING)),
            dummy: Arc::default(),
        }
    }

    /// The hash of a password with a random salt, in PHC form.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        self.run(move || hash(&password)).await?
    }

    /// Whether a password has this hash. Without one (nobody has the name) it takes as long and says no, so that the time
    /// taken doesn't tell whether somebody exists.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn verify(&self, password: String, phc: Option<String>) -> Result<bool, Problem> {
        let dummy = Arc::clone(&self.dummy);
        self.run(move || {
            let known = phc.is_some();
            let phc = match phc {
                Some(phc) => phc,
                None => match dummy.get() {
                    Some(made) => made.clone(),
                    None => {
                        let made = hash("nobody has this password")?;
                        dummy.get_or_init(|| made).clone()
                    }
                },
            };
            // Hashes from before passwords were normalised are of what was typed.
            let normal = identity::password(&password).filter(|normal| *normal != password);
            let matches = normal
                .into_iter()
                .chain([password])
                .any(|form| Argon2::default().verify_password(form.as_bytes(), phc.as_str()).is_ok());
            Ok(matches && known)
        })
        .await?
    }

    /// The permits go into the closure: a caller who gives up doesn't make room before the hash is done.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Unserved::Overloaded.problem("too many passwords wait to be hashed"))?;
        let core: OwnedSemaphorePermit =
            Arc::clone(&self.running).acquire_owned().await.map_err(|_| Problem::internal())?;
        let worked = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((core, place));
            done
        });
        worked.await.map_err(|error| {
            tracing::error!(%error, "hashing a password failed");
            Problem::internal()
        })
    }
}

fn hash(password: &str) -> Result<String, Problem> {
    let normal = identity::password(password);
    let password = normal.as_deref().unwrap_or(password);
    let hashed = Argon2::default().hash_password(password.as_bytes()).map_err(|error| {
        tracing::error!(%error, "argon2 refused a password");
        Problem::internal()
    })?;
    Ok(hashed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: USR-1
    #[tokio::test]
    async fn passwords_are_hashed_with_argon2id_and_a_salt_of_their_own() {
        let passwords = Passwords::new();
        let one = passwords.hash("correct horse".into()).await.unwrap();
        let two = passwords.hash("correct horse".into()).await.unwrap();
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, two);
        assert!(passwords.verify("correct horse".into(), Some(one.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".into(), Some(one)).await.unwrap());
        // However a keyboard composes it, and also where it was hashed as it was typed.
        let composed = passwords.hash("p\u{e4}ssword\u{a0}1".into()).await.unwrap();
        assert!(passwords.verify("pa\u{308}ssword 1".into(), Some(composed)).await.unwrap());
        let raw = Argon2::default().hash_password("pa\u{308}ssword".as_bytes()).unwrap().to_string();
        assert!(passwords.verify("pa\u{308}ssword".into(), Some(raw)).await.unwrap());
        let invisible = Argon2::default().hash_password("pass\u{200b}word".as_bytes()).unwrap().to_string();
        assert!(passwords.verify("pass\u{200b}word".into(), Some(invisible.clone())).await.unwrap());
        assert!(!passwords.verify("password".into(), Some(invisible)).await.unwrap());
        assert!(!passwords.verify("nobody has this password".into(), None).await.unwrap());
    }

    // proves: SEC-10, USR-1
    #[tokio::test]
    async fn so_many_hash_and_wait_and_everybody_else_is_told_at_once() {
        let cores = std::thread::available_parallelism().unwrap().get();
        assert_eq!(Passwords::new().running.available_permits(), (cores - 1).max(1));
        for at_once in [1, 3] {
            let passwords = Arc::new(Passwords::at_once(at_once));
            let (go, gate) = std::sync::mpsc::channel::<()>();
            let gate = Arc::new(std::sync::Mutex::new(gate));
            let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let work = || {
                let (passwords, gate, begun) = (passwords.clone(), gate.clone(), begun.clone());
                async move {
                    let work = move || {
                        begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        gate.lock().unwrap().recv()
                    };
                    passwords.run(work).await.map(drop)
                }
            };
            let mut taken: Vec<_> = (0..at_once + MOST_WAITING).map(|_| tokio::spawn(work())).collect();
            while passwords.places.available_permits() > 0
                || begun.load(std::sync::atomic::Ordering::SeqCst) < at_once
            {
                tokio::task::yield_now().await;
            }
            for _ in 0..100 {
                assert_eq!(work().await.unwrap_err().kind.rsplit('/').next(), Some("overloaded"));
            }
            // One who waits and gives up makes room.
            let last = taken.pop().unwrap();
            last.abort();
            assert!(last.await.unwrap_err().is_cancelled());
            taken.push(tokio::spawn(work()));
            while passwords.places.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(begun.load(std::sync::atomic::Ordering::SeqCst), at_once, "the others wait");
            taken.iter().for_each(|_| go.send(()).unwrap());
            for one in taken {
                one.await.unwrap().unwrap();
            }
        }
    }
}
