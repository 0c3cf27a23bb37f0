//! What all instances keep secret together: made once by whoever comes first, in the schema of the keys.

use anyhow::{Context as _, anyhow};
use command_api::web::tokens::SigningKeys;
use domain::ports::keys::KeyError;
use query_api::CursorKey;
use sqlx::PgPool;

use super::keys::{PostgresKeys, unavailable};

/// The longest secret, in bytes.
const LONGEST: usize = 1 << 20;

/// Named secrets. They stand in the table as they are: who may read it is who may know them.
#[derive(Clone)]
pub struct PostgresSecrets(PgPool);

impl PostgresSecrets {
    /// The secrets beside an opened key store.
    #[must_use]
    pub fn beside(keys: &PostgresKeys) -> Self {
        Self(keys.pool().clone())
    }

    /// The secret of a name; when there is none yet, what `make` makes, or what another instance made at the same time: all get the
    /// same.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`], also for a secret beyond 1 MiB.
    pub async fn get_or_create(
        &self,
        name: &str,
        make: impl FnOnce() -> Vec<u8> + Send,
    ) -> Result<Vec<u8>, KeyError> {
        if let Some(found) = self.find(name).await? {
            return Ok(found);
        }
        let value = make();
        if value.len() > LONGEST {
            return Err(KeyError::Unavailable(format!("the secret {name} is longer than {LONGEST} bytes")));
        }
        let insert = sqlx::query(include_str!("keys/insert_secret.sql")).bind(name).bind(value);
        insert.execute(&self.0).await.map_err(unavailable)?;
        let stored = self.find(name).await?;
        stored.ok_or_else(|| KeyError::Unavailable(format!("the secret {name} was removed as soon as made")))
    }

    async fn find(&self, name: &str) -> Result<Option<Vec<u8>>, KeyError> {
        let select = sqlx::query_scalar(include_str!("keys/select_secret.sql")).bind(name);
        select.fetch_optional(&self.0).await.map_err(unavailable)
    }

    /// The pairs that sign access tokens, as PEM texts one after another: the last one signs, the others' tokens are accepted
    /// too.
    ///
    /// # Errors
    /// When the store can't be asked, or holds no keys under this name.
    pub async fn signing_keys(&self) -> anyhow::Result<SigningKeys> {
        let made = SigningKeys::generate()?.to_pkcs8_pem()?;
        let stored = self.get_or_create("signing keys", move || made.into_bytes()).await?;
        let text = String::from_utf8(stored).context("the secret `signing keys` is no text")?;
        signing_keys(&text).context("the secret `signing keys`")
    }

    /// The key that cursors are sealed with.
    ///
    /// # Errors
    /// When the store can't be asked, or holds no key under this name.
    pub async fn cursor_key(&self) -> anyhow::Result<CursorKey> {
        Ok(CursorKey::new(self.bytes("cursor key").await?))
    }

    /// What instances prove to each other that they belong together with.
    ///
    /// # Errors
    /// When the store can't be asked, or holds something else under this name.
    pub async fn peer_secret(&self) -> anyhow::Result<[u8; 32]> {
        self.bytes("peer secret").await
    }

    async fn bytes(&self, name: &str) -> anyhow::Result<[u8; 32]> {
        let stored = self.get_or_create(name, || rand::random::<[u8; 32]>().to_vec()).await?;
        <[u8; 32]>::try_from(stored).map_err(|_| anyhow!("the secret `{name}` is not of 32 bytes"))
    }
}

fn signing_keys(text: &str) -> anyhow::Result<SigningKeys> {
    const BEGIN: &str = "-----BEGIN";
    let mut pems: Vec<String> =
        text.split(BEGIN).skip(1).map(|rest| format!("{BEGIN}{}\n", rest.trim_end())).collect();
    let newest = pems.pop().context("holds no key")?;
    let newest = SigningKeys::from_pkcs8_pem(&newest)?;
    pems.iter().try_fold(newest, |keys, pem| Ok(keys.also_accepting(&SigningKeys::from_pkcs8_pem(pem)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_signs_and_the_ones_before_are_accepted() {
        let (first, second) = (SigningKeys::generate().unwrap(), SigningKeys::generate().unwrap());
        let text = format!("{}\n{}", first.to_pkcs8_pem().unwrap(), second.to_pkcs8_pem().unwrap());
        let both = signing_keys(&text).unwrap();
        assert_eq!(both.kid(), second.kid());
        assert!(format!("{both:?}").contains(first.kid()));
        assert!(signing_keys("").is_err() && signing_keys("-----BEGIN nonsense").is_err());
    }
}
