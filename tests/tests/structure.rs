//! What the sources keep to, read from them.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders and files that are platform, by crate: what a context stands on.
const PLATFORM: [(&str, &[&str]); 6] = [
    ("domain", &["."]),
    ("command-api", &["web", "owner", "leases", "peers", "repository.rs"]),
    ("projections", &["engine", "audit"]),
    ("query-api", &["web", "audit", "processes.rs"]),
    ("sagas", &["engine"]),
    ("infra", &["."]),
];

/// Folders of the crates that contexts have, which are no contexts.
const NO_CONTEXTS: [(&str, &[&str]); 4] = [
    ("domain", &["follow_on", "frame", "ports", "text"]),
    ("command-api", &["fulfilment", "leases", "owner", "peers", "web"]),
    ("projections", &["audit", "engine"]),
    ("query-api", &["audit", "web"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of the bounded contexts, as their one list has them.
fn shop() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("domain/src/contexts.rs")).unwrap();
    let list = text.split_once("$join! {").unwrap().1.split_once('}').unwrap().0;
    list.split_whitespace().map(str::to_owned).collect()
}

/// With the shop's processes, and the folder that joins all of it.
fn contexts() -> BTreeSet<String> {
    shop().into_iter().chain(["fulfilment", "shop"].map(str::to_owned)).collect()
}

/// Whoever knows a context's name finds what there is of it.
// proves: CAT-3
#[test]
fn a_context_is_a_folder_of_its_name_in_each_crate() {
    let shop = shop();
    assert!(shop.is_sorted(), "{shop:?}");
    let contexts: BTreeSet<String> = shop.iter().cloned().collect();
    for context in shop {
        for (krate, _) in NO_CONTEXTS {
            let room = root().join(krate).join("src").join(&context).join("mod.rs");
            assert!(room.is_file(), "{} is missing", room.display());
        }
    }
    // What isn't in the list isn't compiled, and nobody would say so.
    for (krate, others) in NO_CONTEXTS {
        for entry in std::fs::read_dir(root().join(krate).join("src")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let is_known = contexts.contains(&name) || others.contains(&name.as_str());
            assert!(is_known || entry.path().is_file(), "{krate}/src/{name} is in no list");
        }
    }
}

fn sources(path: &Path, leave_out: &BTreeSet<String>, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        return found.push(path.to_owned());
    }
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !leave_out.contains(&name) {
            sources(&entry.path(), leave_out, found);
        }
    }
}

/// Production code: without comments, and without what is there for tests only.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut code = String::new();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
            continue;
        }
        // The item behind it: a line, or a block that ends where it began.
        let indent = &line[..line.len() - line.trim_start().len()];
        let (end, first) = (format!("{indent}}}"), lines.next().unwrap_or_default());
        if !first.trim_end().ends_with([';', '}']) {
            lines.by_ref().find(|line| line.trim_end() == end);
        }
    }
    code
}

/// The contexts that code names as those of a crate: `domain::ordering::order`, also in a group `domain::{money, ordering::order}`.
fn named<'a>(code: &str, contexts: &'a BTreeSet<String>) -> Vec<(&'static str, &'a str)> {
    let mut found = Vec::new();
    for origin in ["crate", "domain", "projections", "command_api", "query_api", "sagas"] {
        for (at, path) in code.match_indices(&format!("{origin}::")) {
            // The end of another word is no crate.
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
            {
                continue;
            }
            let rest = &code[at + path.len()..];
            let names = match rest.strip_prefix('{') {
                Some(group) => firsts_of(group),
                None => vec![rest],
            };
            for context in contexts {
                let is_named = |name: &&str| {
                    name.strip_prefix(context.as_str()).is_some_and(|rest| {
                        !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
                    })
                };
                found.extend(names.iter().any(is_named).then_some((origin, context.as_str())));
            }
        }
    }
    found
}

/// The paths of a group of imports, without those of the groups in it.
fn firsts_of(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut firsts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            ',' if depth == 0 => {
                firsts.push(group[start..at].trim());
                start = at + 1;
            }
            '{' => depth += 1,
            '}' if depth == 0 => {
                firsts.push(group[start..at].trim());
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    firsts
}

// proves: CAT-3
#[test]
fn whatever_way_a_context_is_imported_it_is_seen() {
    let contexts: BTreeSet<String> = ["ordering".to_owned(), "payments".to_owned()].into();
    for (code, seen) in [
        ("use domain::ordering::order::Order;", true),
        ("use domain::{money::Money, ordering};", true),
        ("use domain::{money::{Money, Currency}, ordering::order};", true),
        ("pub(crate) use crate::payments;", true),
        ("let order = crate::ordering::order();", true),
        ("use domain::orderings::X;", false),
        ("use domain::{money::{ordering, Money}};", false),
        ("use other_crate::ordering::X;", false),
        ("use std::cmp::Ordering;", false),
    ] {
        assert_eq!(!named(code, &contexts).is_empty(), seen, "{code}");
    }
}

/// Platform never imports a context, so that a new one needs no change of it.
// proves: CAT-3
#[test]
fn platform_knows_no_context() {
    let contexts = contexts();
    let leave_out: BTreeSet<String> = contexts.iter().cloned().chain(["tests".to_owned()]).collect();
    let (mut wrong, mut looked_at) = (BTreeSet::new(), 0);
    for (krate, parts) in PLATFORM {
        for part in parts {
            let mut files = Vec::new();
            sources(&root().join(krate).join("src").join(part), &leave_out, &mut files);
            for file in files.iter().filter(|file| file.extension().is_some_and(|ext| ext == "rs")) {
                let name = file.file_name().unwrap().to_str().unwrap();
                if ["tests.rs", "testing.rs"].contains(&name) {
                    continue;
                }
                looked_at += 1;
                let shown = shown(file);
                for (_, context) in named(&code(file), &contexts) {
                    wrong.insert(format!("{shown} names {context}"));
                }
            }
        }
    }
    assert!(looked_at > 200, "{looked_at}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn shown(file: &Path) -> String {
    let path = file.to_string_lossy().replace('\\', "/").replace("/./", "/");
    path.rsplit_once("/../").unwrap().1.to_owned()
}
