use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use serde_json::{Value, json};

use super::*;

struct Stopped(i64);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp(self.0, 0).unwrap()
    }
}

const NOW: i64 = 1_800_000_000;

fn caller() -> Caller {
    Caller {
        user_id: Uuid::now_v7(),
        tenant: "default".into(),
        roles: vec!["customer".into()],
        session_id: Uuid::now_v7(),
    }
}

fn tokens_at(keys: &SigningKeys, at: i64) -> Tokens {
    Tokens::new(keys.clone(), Arc::new(Stopped(at)))
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn signed(keys: &SigningKeys, header: &Value, claims: &Value) -> String {
    use ed25519_dalek::Signer;
    let message = format!("{}.{}", part(header), part(claims));
    let signature = keys.pair.sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_token_speaks_for_its_caller_until_it_expires() {
    let keys = SigningKeys::generate().unwrap();
    let caller = caller();
    let token = tokens_at(&keys, NOW).issue(&caller).unwrap();
    assert_eq!(tokens_at(&keys, NOW).verify(&token), Ok(caller.clone()));
    assert_eq!(tokens_at(&keys, NOW + 899).verify(&token), Ok(caller));
    assert_eq!(tokens_at(&keys, NOW + 900).verify(&token), Err(TokenError::Expired));
}

#[test]
fn keys_survive_their_pem_form_and_may_be_rotated() {
    let old = SigningKeys::generate().unwrap();
    let read = SigningKeys::from_pkcs8_pem(&old.to_pkcs8_pem().unwrap()).unwrap();
    assert_eq!(read.kid(), old.kid());
    let token = tokens_at(&old, NOW).issue(&caller()).unwrap();
    assert!(tokens_at(&read, NOW).verify(&token).is_ok());

    let new = SigningKeys::generate().unwrap();
    assert_eq!(tokens_at(&new, NOW).verify(&token), Err(TokenError::Invalid));
    assert!(tokens_at(&new.also_accepting(&old), NOW).verify(&token).is_ok());
    assert_eq!(SigningKeys::from_pkcs8_pem("nonsense").unwrap_err(), TokenError::BadKey);
}

// proves: SEC-1
#[test]
fn forged_tokens_are_refused() {
    let keys = SigningKeys::generate().unwrap();
    let tokens = tokens_at(&keys, NOW);
    let token = tokens.issue(&caller()).unwrap();
    let claims = claims_of(&token);
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": keys.kid()});
    assert!(tokens.verify(&signed(&keys, &header, &claims)).is_ok(), "the helper signs well");

    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        changed[name] = value;
        changed
    };
    let refused = |name: &str, token: &str| {
        assert_eq!(tokens.verify(token), Err(TokenError::Invalid), "{name}");
    };

    let none = json!({"alg": "none", "typ": "at+jwt", "kid": keys.kid()});
    refused("alg=none", &format!("{}.{}.", part(&none), part(&claims)));

    // HS256 with the public key as the secret, which a verifier that trusts the header would accept.
    let public = keys.pair.verifying_key().to_bytes();
    let mut confused = Header::new(Algorithm::HS256);
    confused.typ = Some("at+jwt".into());
    confused.kid = Some(keys.kid().into());
    let confused = jsonwebtoken::encode(&confused, &claims, &EncodingKey::from_secret(&public)).unwrap();
    refused("hs256 confusion", &confused);

    let stranger = SigningKeys::generate().unwrap();
    refused("another key under our kid", &signed(&stranger, &header, &claims));
    refused("unknown kid", &signed(&stranger, &with(&header, "kid", json!(stranger.kid())), &claims));
    refused("no kid", &signed(&keys, &json!({"alg": "EdDSA", "typ": "at+jwt"}), &claims));
    refused("another type", &signed(&keys, &with(&header, "typ", json!("JWT")), &claims));
    refused("issuer", &signed(&keys, &header, &with(&claims, "iss", json!("someone"))));
    refused("audience", &signed(&keys, &header, &with(&claims, "aud", json!("other"))));
    refused("not yet", &signed(&keys, &header, &with(&claims, "nbf", json!(NOW + 3600))));
    refused("from the future", &signed(&keys, &header, &with(&claims, "iat", json!(NOW + 3600))));
    refused("roles", &signed(&keys, &header, &with(&claims, "roles", json!("admin"))));

    let mut parts: Vec<&str> = token.split('.').collect();
    let raised = part(&with(&claims, "roles", json!(["admin"])));
    parts[1] = &raised;
    refused("changed claims", &parts.join("."));

    for text in ["", ".", "..", "a.b.c", "not a token", &"a".repeat(5000)] {
        refused("malformed", text);
    }
    for missing in ["exp", "iss", "aud", "sub", "tenant", "roles", "sid"] {
        let mut fewer = claims.clone();
        fewer.as_object_mut().unwrap().remove(missing);
        refused(missing, &signed(&keys, &header, &fewer));
    }
    let expired = signed(&keys, &header, &with(&claims, "exp", json!(NOW)));
    assert_eq!(tokens.verify(&expired), Err(TokenError::Expired));
}
