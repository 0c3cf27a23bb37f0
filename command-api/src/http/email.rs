//! E-mail addresses: what passes for one, and the form in which two of them are the same.

/// The longest address, in bytes (RFC 5321, 4.5.3.1.3).
pub const MAX_EMAIL: usize = 254;
/// The longest part before the @, in bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// The form in which two spellings of one address are equal: without outer spaces, in lower case.
#[must_use]
pub fn normalised(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Whether a text could be an address. Only a message can tell whether it is one.
#[must_use]
pub fn is_plausible(email: &str) -> bool {
    let email = email.trim();
    let Some((local, host)) = email.rsplit_once('@') else { return false };
    let clean = |part: &str| {
        !part.contains(|c: char| c.is_whitespace() || c.is_control() || "@()<>[]:;,\\\"".contains(c))
    };
    let labels_fit = host.split('.').count() >= 2
        && host.split('.').all(|label| {
            let hyphens = label.starts_with('-') || label.ends_with('-');
            !label.is_empty()
                && label.len() <= 63
                && !hyphens
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        });
    email.len() <= MAX_EMAIL
        && (1..=MAX_LOCAL).contains(&local.len())
        && clean(local)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && labels_fit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plausible_addresses_pass() {
        for email in
            ["a@b.co", "Ann.Lee+shop@Example.COM", " x@y.example ", "jörg@müller.example", "a-b@c-d.e.f"]
        {
            assert!(is_plausible(email), "{email}");
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
            &long,
            &longer,
        ] {
            assert!(!is_plausible(email), "{email}");
        }
    }

    // proves: USR-1
    #[test]
    fn spellings_of_one_address_are_equal() {
        assert_eq!(normalised(" Ann@Example.COM "), normalised("ann@example.com"));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(email in "\\PC{0,40}") {
            let once = normalised(&email);
            prop_assert_eq!(normalised(&once), once);
            let _ = is_plausible(&email);
        }
    }
}
