//! Access tokens: short-lived JWTs, signed with Ed25519. Whoever has the public key can verify them without asking anybody.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::clock::Clock;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::web::caller::Caller;

/// How long an access token is valid.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The `iss` of access tokens unless configured otherwise.
pub const DEFAULT_ISSUER: &str = "tillstream";
/// The `aud` of access tokens unless configured otherwise.
pub const DEFAULT_AUDIENCE: &str = "tillstream-api";

/// RFC 9068: an access token says that it is one, so that no other JWT of the same issuer passes for it.
const TOKEN_TYPE: &str = "at+jwt";
/// How far the clocks of two machines may be apart, seconds; for `nbf` and `iat` only.
const CLOCK_SKEW: i64 = 30;
/// Longer texts are no tokens of ours, bytes.
const MAX_TOKEN: usize = 4096;

/// Why a key pair or token is no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is no Ed25519 private key in PKCS #8 PEM form.
    #[error("not an ed25519 private key in pkcs #8 pem form")]
    BadKey,
    /// The token is malformed, not signed by a known key, or not meant for us.
    #[error("the access token is not valid")]
    Invalid,
    /// The token's time is up.
    #[error("the access token has expired")]
    Expired,
}

/// The key pair that signs, and the public keys of all pairs whose tokens are still accepted, by key id.
#[derive(Clone)]
pub struct SigningKeys {
    pair: SigningKey,
    kid: String,
    signing: EncodingKey,
    verifying: BTreeMap<String, DecodingKey>,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted: Vec<_> = self.verifying.keys().collect();
        f.debug_struct("SigningKeys")
            .field("kid", &self.kid)
            .field("accepted", &accepted)
            .finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// A new random pair.
    ///
    /// # Errors
    /// None in practice; the pair's encoding is fallible by type.
    pub fn generate() -> Result<Self, TokenError> {
        Self::of(SigningKey::from_bytes(&rand::random()))
    }

    /// Reads a pair back.
    ///
    /// # Errors
    /// [`TokenError::BadKey`].
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, TokenError> {
        Self::of(SigningKey::from_pkcs8_pem(pem).map_err(|_| TokenError::BadKey)?)
    }

    /// The private key as text; whoever has it can issue tokens.
    ///
    /// # Errors
    /// None in practice; the encoding is fallible by type.
    pub fn to_pkcs8_pem(&self) -> Result<String, TokenError> {
        let pem = self.pair.to_pkcs8_pem(LineEnding::LF).map_err(|_| TokenError::BadKey)?;
        Ok(pem.as_str().to_owned())
    }

    /// Also accepts tokens that another pair signs: for rotating keys without logging anybody out.
    #[must_use]
    pub fn also_accepting(mut self, other: &Self) -> Self {
        self.verifying.extend(other.verifying.clone());
        self
    }

    /// The id of the signing pair: the first 16 hex digits of the SHA-256 of its public key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    fn of(pair: SigningKey) -> Result<Self, TokenError> {
        let der = pair.to_pkcs8_der().map_err(|_| TokenError::BadKey)?;
        let public = pair.verifying_key().to_bytes();
        let kid = hex::encode(&Sha256::digest(public)[..8]);
        Ok(Self {
            signing: EncodingKey::from_ed_der(der.as_bytes()),
            verifying: BTreeMap::from([(kid.clone(), DecodingKey::from_ed_der(&public))]),
            kid,
            pair,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    tenant: String,
    roles: Vec<String>,
    sid: Uuid,
    jti: Uuid,
    iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
}

/// Issues and verifies access tokens.
pub struct Tokens {
    keys: SigningKeys,
    issuer: String,
    audience: String,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// Tokens of the default issuer and audience.
    #[must_use]
    pub fn new(keys: SigningKeys, clock: Arc<dyn Clock>) -> Self {
        Self { keys, issuer: DEFAULT_ISSUER.to_owned(), audience: DEFAULT_AUDIENCE.to_owned(), clock }
    }

    /// Tokens of another issuer and audience.
    #[must_use]
    pub fn named(mut self, issuer: &str, audience: &str) -> Self {
        issuer.clone_into(&mut self.issuer);
        audience.clone_into(&mut self.audience);
        self
    }

    /// A token for a caller, valid for [`ACCESS_TOKEN_LIFETIME`].
    ///
    /// # Errors
    /// [`TokenError::BadKey`] when the key can't sign.
    pub fn issue(&self, caller: &Caller) -> Result<String, TokenError> {
        let now = self.clock.now().timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: caller.user_id,
            tenant: caller.tenant.clone(),
            roles: caller.roles.clone(),
            sid: caller.session_id,
            jti: Uuid::now_v7(),
            iat: now,
            nbf: None,
            exp: now + ACCESS_TOKEN_LIFETIME.as_secs() as i64,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.keys.kid.clone());
        jsonwebtoken::encode(&header, &claims, &self.keys.signing).map_err(|_| TokenError::BadKey)
    }

    /// Who a token speaks for.
    ///
    /// # Errors
    /// [`TokenError::Invalid`], [`TokenError::Expired`].
    pub fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Invalid);
        }
        // What the header says is believed only as far as it picks one of our own keys; the algorithm is fixed.
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let ours = header.alg == Algorithm::EdDSA && header.typ.as_deref() == Some(TOKEN_TYPE);
        let key = header.kid.as_ref().filter(|_| ours).and_then(|kid| self.keys.verifying.get(kid));
        let key = key.ok_or(TokenError::Invalid)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        // The times are checked below against the clock that was passed in.
        validation.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|_| TokenError::Invalid)?.claims;
        let now = self.clock.now().timestamp();
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        if claims.iat > now + CLOCK_SKEW || claims.nbf.is_some_and(|nbf| nbf > now + CLOCK_SKEW) {
            return Err(TokenError::Invalid);
        }
        Ok(Caller { user_id: claims.sub, tenant: claims.tenant, roles: claims.roles, session_id: claims.sid })
    }
}

#[cfg(test)]
mod tests;
