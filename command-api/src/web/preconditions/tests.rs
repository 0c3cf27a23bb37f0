use axum::http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(&name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    headers
}

fn if_match(lines: &[&str]) -> Result<Option<IfMatch>, u16> {
    IfMatch::read(&headers(header::IF_MATCH, lines)).map_err(|problem| problem.status)
}

fn if_none_match(lines: &[&str]) -> Result<Option<IfNoneMatch>, u16> {
    IfNoneMatch::read(&headers(header::IF_NONE_MATCH, lines)).map_err(|problem| problem.status)
}

/// Lines that name tag 7 strongly, in every form that a list may have.
const STRONG: [&[&str]; 9] = [
    &["\"7\""],
    &["*"],
    &["\"1\", \"7\""],
    &["\"7\",\"1\""],
    &[",\"1\",, ,\t\"7\" ,"],
    &["\"1\"", "\"7\""],
    &["", "\"7\""],
    &["W/\"7\", \"7\""],
    &["\"a,b\", \"ü\", \"7\""],
];

// proves: SEC-10, QRY-1
#[test]
fn a_list_names_each_of_its_tags() {
    for lines in STRONG {
        let (strong, weak) = (if_match(lines).unwrap().unwrap(), if_none_match(lines).unwrap().unwrap());
        assert!(strong.allows("7") && weak.has("7"), "{lines:?}");
    }
    for lines in [&["W/\"7\""][..], &["\"1\",W/\"7\""], &["W/\"7\"", "\"1\""]] {
        assert!(!if_match(lines).unwrap().unwrap().allows("7"), "{lines:?}: weak tags match nothing here");
        assert!(if_none_match(lines).unwrap().unwrap().has("7"), "{lines:?}");
    }
    for lines in [&["\"77\", \"07\", \"\""][..], &[""], &[" ,\t, "], &["", ","], &["\"1\"", "\"8\""]] {
        assert!(!if_match(lines).unwrap().unwrap().allows("7"), "{lines:?}");
        assert!(!if_none_match(lines).unwrap().unwrap().has("7"), "{lines:?}");
    }
    assert_eq!((if_match(&[]), if_none_match(&[])), (Ok(None), Ok(None)));
    assert_eq!(IfMatch::required(&HeaderMap::new()).unwrap_err().status, 428);
}

// proves: SEC-10
#[test]
fn anything_else_is_malformed() {
    for line in [
        "7",
        "\"7",
        "7\"",
        "\"7\" \"8\"",
        "w/\"7\"",
        "W/7",
        "W/ \"7\"",
        "*, \"7\"",
        "\"a b\"",
        "\"7\";x",
        "**",
    ] {
        assert_eq!(if_match(&[line]), Err(400), "{line}");
        assert_eq!(if_none_match(&[line]), Err(400), "{line}");
    }
    assert_eq!(if_match(&["*", "\"7\""]), Err(400));
    let many = vec!["\"1\""; MAX_TAGS + 1].join(",");
    assert_eq!(if_match(&[&many]), Err(400));
}

/// What the owner is asked to find, when the version that was read is 7.
#[test]
fn an_update_is_bound_to_a_version_that_was_named() {
    let bound = |line| if_match(&[line]).unwrap().unwrap().version(7);
    assert_eq!(bound("*"), None);
    assert_eq!(bound("\"1\", \"7\""), Some(7));
    assert_eq!(bound("\"8\""), Some(8), "the owner may know it by now");
    assert_eq!(bound("\"7-erased\""), Some(7));
    for never in [
        "\"1\", \"2\"",
        "W/\"7\"",
        "\"abc\"",
        "\"07\"",
        "\"0x7\"",
        "\"\"",
        ",",
        "\"99999999999999999999999\"",
        "\"7.1\"",
    ] {
        assert_eq!(bound(never), Some(u64::MAX), "{never}");
    }
}

// proves: QRY-1, SEC-10
#[test]
fn what_else_a_body_shows_doesnt_bind_a_command() {
    let bound = |line| if_match(&[line]).unwrap().unwrap().by_version().version(7);
    for (line, expected) in [
        ("*", None),
        ("\"7\"", Some(7)),
        ("\"7.2.9\"", Some(7)),
        ("\"8.1\"", Some(8)),
        ("\"1.7\", \"7.1\"", Some(7)),
    ] {
        assert_eq!(bound(line), expected, "{line}");
    }
    for never in ["W/\"7.1\"", "\"7.\"", "\".7\"", "\"7.x\"", "\"7.01\"", "\"7-1\""] {
        assert_eq!(bound(never), Some(u64::MAX), "{never}");
    }
}

fn tag() -> impl Strategy<Value = (bool, String)> {
    (any::<bool>(), "[!#-~]{0,6}")
}

proptest! {
    // proves: SEC-10
    #[test]
    fn whatever_way_a_list_is_written_it_names_the_same(
        tags in prop::collection::vec((tag(), "[ \t,]{0,3}", "[ \t]{0,2}"), 0..6),
        split in prop::collection::vec(any::<bool>(), 6),
        wanted in "[!#-~]{0,2}",
    ) {
        let mut lines = vec![String::new()];
        for (n, ((weak, opaque), before, after)) in tags.iter().enumerate() {
            if n > 0 && split[n] {
                lines.push(String::new());
            }
            let line = lines.last_mut().unwrap();
            if !trimmed(line.as_bytes()).is_empty() {
                line.push(',');
            }
            line.push_str(&format!("{before}{}\"{opaque}\"{after}", if *weak { "W/" } else { "" }));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for wanted in tags.iter().map(|((_, opaque), ..)| opaque).chain([&wanted]) {
            let strong = tags.iter().any(|((weak, opaque), ..)| !weak && opaque == wanted);
            let weak = tags.iter().any(|((_, opaque), ..)| opaque == wanted);
            prop_assert_eq!(if_match(&lines).unwrap().unwrap().allows(wanted), strong, "{:?}", lines);
            prop_assert_eq!(if_none_match(&lines).unwrap().unwrap().has(wanted), weak, "{:?}", lines);
        }
    }

    #[test]
    fn reading_never_panics(lines in prop::collection::vec(prop::collection::vec(0x20_u8..=255, 0..40), 0..4)) {
        let mut map = HeaderMap::new();
        for line in &lines {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                map.append(header::IF_MATCH, value.clone());
                map.append(header::IF_NONE_MATCH, value);
            }
        }
        let _ = (IfMatch::read(&map), IfNoneMatch::read(&map));
    }
}

// proves: SEC-6, QRY-1
#[test]
fn erasure_changes_the_tag() {
    let erased = domain::personal::ERASED;
    assert_eq!(personal_tag(3, ["a", "b"]), "3");
    assert_eq!(personal_tag(3, []), "3");
    assert_eq!(personal_tag(3, ["a", erased]), "3-erased");
}
