//! What the sources keep to, read from them.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders and files that are platform, by crate: what a context stands on.
const PLATFORM: [(&str, &[&str]); 5] = [
    ("domain", &["."]),
    ("command-api", &["web", "owner", "leases", "peers", "repository.rs"]),
    ("projections", &["engine"]),
    ("query-api", &["web"]),
    ("sagas", &["engine"]),
];

/// What platform still knows of contexts: who may call an operation is said in roles, and those are the accounts' own; and queries of
/// auditors are questions to the read models' port.
const KNOWN: [(&str, &str); 6] = [
    ("command-api/src/web/access/mod.rs", "domain::identity::user::Role"),
    ("command-api/src/web/routes.rs", "domain::identity::user::Role"),
    ("command-api/src/web/tokens/mod.rs", "domain::identity::user::Role"),
    ("projections/src/engine/read_models.rs", "crate::audit::events::{EventFilter, EventPage}"),
    ("query-api/src/web/failed.rs", "crate::audit::verifier::VerifyError"),
    ("query-api/src/web/state.rs", "crate::audit::verifier::Verifier"),
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

fn contexts() -> BTreeSet<String> {
    shop().into_iter().chain(["fulfilment".to_owned(), "audit".to_owned()]).collect()
}

/// Whoever knows a context's name finds what there is of it.
// proves: CAT-3
#[test]
fn a_context_is_a_folder_of_its_name_in_each_crate() {
    let shop = shop();
    assert!(shop.len() >= 6 && shop.is_sorted(), "{shop:?}");
    for context in shop {
        for krate in ["domain", "command-api", "projections", "query-api"] {
            let room = root().join(krate).join("src").join(&context).join("mod.rs");
            assert!(room.is_file(), "{} is missing", room.display());
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

/// Production code: what comes before the tests of a file.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Platform never imports a context, so that a new one needs no change of it.
// proves: CAT-3
#[test]
fn platform_knows_no_context() {
    let (contexts, mut wrong, mut looked_at) = (contexts(), Vec::new(), 0);
    for (krate, parts) in PLATFORM {
        for part in parts {
            let mut files = Vec::new();
            sources(&root().join(krate).join("src").join(part), &contexts, &mut files);
            for file in files.iter().filter(|file| file.extension().is_some_and(|ext| ext == "rs")) {
                let name = file.file_name().unwrap().to_str().unwrap();
                if ["tests.rs", "testing.rs"].contains(&name) || file.parent().unwrap().ends_with("tests") {
                    continue;
                }
                looked_at += 1;
                let (mut code, shown) = (code(file), shown(file));
                for (_, what) in KNOWN.iter().filter(|(known, _)| *known == shown) {
                    assert!(code.contains(what), "{shown} doesn't name {what} any more");
                    code = code.replace(what, "");
                }
                for context in &contexts {
                    for origin in ["crate", "domain", "projections", "command_api", "query_api", "sagas"] {
                        let named = [format!("{origin}::{context}::"), format!("{origin}::{context};")];
                        let grouped = code.contains(&format!("{origin}::{{{context}"));
                        if grouped || named.iter().any(|path| code.contains(path)) {
                            wrong.push(format!("{shown} names {origin}::{context}"));
                        }
                    }
                }
            }
        }
    }
    assert!(looked_at > 80, "{looked_at}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn shown(file: &Path) -> String {
    let path = file.to_string_lossy().replace('\\', "/").replace("/./", "/");
    path.rsplit_once("/../").unwrap().1.to_owned()
}
