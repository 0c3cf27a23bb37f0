//! Passwords: hashed with argon2id, at most as many at a time as there are cores.

use std::sync::{Arc, OnceLock};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// The most hashes that may run or wait; past it callers are told to come back.
const MOST_WAITING: usize = 1024;

/// Hashes and verifies passwords with argon2id (RFC 9106; 19 MiB, two passes, one lane, as OWASP recommends).
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    dummy: Arc<OnceLock<String>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Passwords {
    /// As many at a time as the machine has cores.
    #[must_use]
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            running: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
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
            let matches = Argon2::default().verify_password(password.as_bytes(), phc.as_str()).is_ok();
            Ok(matches && known)
        })
        .await?
    }

    /// The permits go into the closure: a caller who gives up doesn't make room before the hash is done.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "too many passwords wait to be hashed",
            )
        })?;
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
        assert!(!passwords.verify("nobody has this password".into(), None).await.unwrap());
    }
}
