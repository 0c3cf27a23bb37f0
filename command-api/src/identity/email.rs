//! E-mail addresses (RFC 5321, internationalised by RFC 6531): what passes for one, and the form in which two of them are the
//! same. What was typed is kept and shown.

use domain::text::identity::username;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

/// The longest address, in bytes (RFC 5321, 4.5.3.1.3).
pub const MAX_EMAIL: usize = 254;
/// The longest part before the @, in bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// The form in which two spellings of one address are equal: the part before the @ as a PRECIS user name (in lower case, composed,
/// RFC 8265), the host in its ASCII form (UTS #46, IDNA 2008). `None` for what can't be an address; only a message can tell
/// whether it is one.
#[must_use]
pub fn normal(email: &str) -> Option<String> {
    let email = email.trim();
    let (local, host) = email.rsplit_once('@')?;
    let local = username(local)?;
    let clean = !local.contains(|c: char| c.is_whitespace() || "@()<>[]:;,\\\"".contains(c))
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.len() <= MAX_LOCAL;
    let host = ascii(host).filter(|host| host.contains('.'))?;
    let normal = format!("{local}@{host}");
    (clean && email.len() <= MAX_EMAIL && normal.len() <= MAX_EMAIL).then_some(normal)
}

/// The forms under which an address may have been claimed, the likeliest first: as the program before this one compared it (in
/// lower case and no more), [`normal`], and what that program made of the address composed or decomposed, and of its host in
/// letters or in ASCII. Of these the first that is held is the account: exactly what its owner typed then leads to it.
#[must_use]
pub fn spellings(email: &str) -> Vec<String> {
    let email = email.trim();
    let mut forms = vec![email.to_lowercase()];
    forms.extend(normal(email));
    if let Some((local, host)) =
        email.rsplit_once('@').filter(|_| !email.is_ascii() || forms[0].contains("xn--"))
    {
        let hosts = [
            Some(host.to_owned()),
            Some(host.nfc().collect()),
            ascii(host),
            ascii(host).map(|h| letters(&h)),
        ];
        for host in hosts.iter().flatten() {
            let locals = [local.to_owned(), local.nfc().collect(), local.nfd().collect()];
            forms.extend(locals.iter().map(|local| format!("{local}@{host}").to_lowercase()));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    forms.retain(|form| seen.insert(form.clone()));
    forms
}

/// A host in ASCII, `None` for what is none.
fn ascii(host: &str) -> Option<String> {
    let uts46 = Uts46::new();
    let ascii = uts46
        .to_ascii(host.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .ok()?;
    Some(ascii.into_owned())
}

/// A host in the letters of its languages.
fn letters(ascii: &str) -> String {
    Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast).0.into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plausible_addresses_pass() {
        for email in [
            "a@b.co",
            "Ann.Lee+shop@Example.COM",
            " x@y.example ",
            "jörg@müller.example",
            "jo\u{308}rg@mu\u{308}ller.example",
            "a-b@c-d.e.f",
            "o'neill@xn--mller-kva.example",
            "佐藤@例え.テスト",
        ] {
            assert!(normal(email).is_some(), "{email}");
        }
    }

    #[test]
    fn others_are_refused() {
        let long = format!("{}@b.co", "a".repeat(65));
        let longer = format!("a@{}.co", "b.".repeat(130));
        for email in [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a b@c.de",
            "a@b..co",
            "a@.co",
            "a@b.",
            "a@@b.co",
            "a@b@c.de",
            ".a@b.co",
            "a.@b.co",
            "a..b@c.de",
            "<a@b.co>",
            "a@b_c.de",
            "a@-b.co",
            "a\n@b.co",
            "jo\u{200b}se@b.co",
            "jo\u{ad}se@b.co",
            "\u{202e}esoj@b.co",
            "jose@b\u{202e}.co",
            "jose@xn--a.co",
            "a@b。",
            &long,
            &longer,
        ] {
            assert_eq!(normal(email), None, "{email:?}");
        }
    }

    // proves: USR-1
    #[test]
    fn spellings_of_one_address_are_equal() {
        for (one, other) in [
            (" Ann@Example.COM ", "ann@example.com"),
            ("jos\u{e9}@example.com", "jose\u{301}@example.com"),
            ("JOSÉ@example.com", "josé@example.com"),
            ("ｊｏｓｅ@example.com", "jose@example.com"),
            ("a@mu\u{308}ller.example", "a@m\u{fc}ller.example"),
            ("a@MÜLLER.example", "a@xn--mller-kva.example"),
            ("a@XN--MLLER-KVA.example", "a@xn--mller-kva.example"),
            ("a@ｅｘａｍｐｌｅ.com", "a@example.com"),
            ("a@example。com", "a@example.com"),
            ("a@exam\u{ad}ple.com", "a@example.com"),
            ("a@exam\u{200b}ple.com", "a@example.com"),
        ] {
            assert!(normal(one).is_some(), "{one:?}");
            assert_eq!(normal(one), normal(other), "{one:?}");
        }
        assert_ne!(normal("jose@example.com"), normal("josé@example.com"));
    }

    // proves: USR-1
    #[test]
    fn an_address_is_found_under_every_form_that_was_compared_before() {
        let before = |typed: &str| typed.trim().to_lowercase();
        for (typed_then, typed_now) in [
            ("jos\u{e9}@example.com", "jose\u{301}@example.com"),
            ("jose\u{301}@example.com", "jos\u{e9}@example.com"),
            ("Jörg@Müller.example", "jo\u{308}rg@mu\u{308}ller.example"),
            ("a@müller.example", "A@xn--mller-kva.example"),
            ("a@xn--mller-kva.example", "a@MÜLLER.example"),
            ("jo\u{200b}se@example.com", "Jo\u{200b}se@example.com"),
            ("ΝΊΚΟΣ@example.com", "νίκος@example.com"),
        ] {
            assert!(spellings(typed_now).contains(&before(typed_then)), "{typed_then:?} {typed_now:?}");
        }
        // The one that was typed comes first, so that two accounts of the past stay two.
        assert_eq!(spellings("JOSE\u{301}@example.com")[0], "jose\u{301}@example.com");
        assert_eq!(spellings(" Ann@Example.COM "), ["ann@example.com"]);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC{0,40}", local in "[a-zA-Zéß\u{301}.]{1,8}", host in "[a-zA-Zü\u{308}]{1,8}") {
            for email in [text, format!("{local}@{host}.example")] {
                let once = normal(&email);
                prop_assert_eq!(once.as_deref().and_then(normal), once.clone());
                if let Some(once) = once {
                    prop_assert!(spellings(&email).contains(&once));
                }
            }
        }
    }
}
