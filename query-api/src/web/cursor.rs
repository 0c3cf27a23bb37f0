//! Cursors: where the next page of a list starts, opaque to clients and bound to the list that they came from.
//!
//! A cursor is unpadded base64url of `format (1 byte, 1) ‖ tag (16 bytes) ‖ place`. The tag is the first half of
//! HMAC-SHA-256 under the server's key over format, a digest of the list's scope, and the place. So a cursor that was changed,
//! cut, made by hand, or taken to another operation, tenant, caller or filter is refused.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use command_api::web::problem::Problem;
use domain::command::digest_of;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const FORMAT: u8 = 1;
const TAG: usize = 16;

/// The server's key for cursors: 32 random bytes, the same on every replica and after a restart, or else clients must begin
/// their lists again.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// Takes over a key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The cursor of a place in the list of this scope.
    pub fn seal(&self, scope: &Scope<'_>, place: &str) -> String {
        let tag = self.mac(scope, place.as_bytes()).finalize().into_bytes();
        let mut bytes = Vec::with_capacity(1 + TAG + place.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&tag[..TAG]);
        bytes.extend_from_slice(place.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a cursor of this scope names.
    ///
    /// # Errors
    /// 400 `bad-cursor`.
    pub fn open(&self, scope: &Scope<'_>, cursor: &str) -> Result<String, Problem> {
        self.try_open(scope, cursor).ok_or_else(bad_cursor)
    }

    fn try_open(&self, scope: &Scope<'_>, cursor: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (format, rest) = bytes.split_first()?;
        let (tag, place) = rest.split_at_checked(TAG)?;
        if *format != FORMAT {
            return None;
        }
        self.mac(scope, place).verify_truncated_left(tag).ok()?;
        String::from_utf8(place.to_vec()).ok()
    }

    fn mac(&self, scope: &Scope<'_>, place: &[u8]) -> Hmac<Sha256> {
        let caller = scope.caller.unwrap_or("");
        let mut parts = vec![scope.operation, scope.tenant, caller];
        parts.extend(&scope.filters);
        Hmac::<Sha256>::new_from_slice(&self.0)
            .expect("HMAC takes a key of any length")
            .chain_update([FORMAT])
            .chain_update(digest_of(&parts))
            .chain_update(place)
    }
}

/// Never shows the key.
impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

/// The list that a cursor belongs to.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The operation's id, with the resource it lists within.
    pub operation: &'a str,
    /// The tenant.
    pub tenant: &'a str,
    /// Who asks; `None` where everybody sees the same list.
    pub caller: Option<&'a str>,
    /// Names and values of filters and sort, as [`crate::web::params::Params::filters`] gives them.
    pub filters: Vec<&'a str>,
}

/// 400 for a cursor that is not one of this list.
pub fn bad_cursor() -> Problem {
    let detail = "the cursor is not one that this list has given out; begin at the first page";
    Problem {
        errors: Problem::bad_parameter("cursor", detail).errors,
        ..Problem::new(StatusCode::BAD_REQUEST, "bad-cursor", detail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope() -> Scope<'static> {
        Scope {
            operation: "list_orders",
            tenant: "default",
            caller: Some("u1"),
            filters: vec!["status", "paid"],
        }
    }

    fn key() -> CursorKey {
        CursorKey::new([7; 32])
    }

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let cursor = key().seal(&scope(), "2026-01-01|é");
        assert_eq!(key().open(&scope(), &cursor).as_deref(), Ok("2026-01-01|é"));
    }

    // proves: SEC-4
    #[test]
    fn a_cursor_is_refused_anywhere_else() {
        let cursor = key().seal(&scope(), "place");
        let elsewhere = [
            Scope { operation: "list_products", ..scope() },
            Scope { tenant: "other", ..scope() },
            Scope { caller: Some("u2"), ..scope() },
            Scope { caller: None, ..scope() },
            Scope { filters: vec![], ..scope() },
            Scope { filters: vec!["status", "pending"], ..scope() },
            Scope { filters: vec!["statu", "spaid"], ..scope() },
        ];
        for scope in elsewhere {
            let problem = key().open(&scope, &cursor).unwrap_err();
            assert_eq!(problem.status, 400, "{scope:?}");
            assert!(problem.kind.ends_with("/bad-cursor"), "{scope:?}");
        }
        assert!(CursorKey::new([8; 32]).open(&scope(), &cursor).is_err(), "another server's key");
    }

    // proves: SEC-10
    #[test]
    fn cut_and_foreign_cursors_are_refused() {
        let cursor = key().seal(&scope(), "place");
        for end in 0..cursor.len() {
            assert!(key().open(&scope(), &cursor[..end]).is_err(), "cut to {end}");
        }
        for text in
            [format!("{cursor}="), format!("{cursor}A"), format!(" {cursor}"), "2".into(), "💥".into()]
        {
            assert!(key().open(&scope(), &text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_character_is_noticed(at in 0_usize..29, to in "[A-Za-z0-9_-]") {
            let cursor = key().seal(&scope(), "place");
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(key().open(&scope(), &changed).is_ok(), changed == cursor);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            prop_assert!(key().open(&scope(), &text).is_err());
        }
    }
}
