//! Checks golden files of stored events: one payload for each schema version that was ever written, exactly as the log keeps
//! it. Such a file is never changed: the log holds its like for ever.

use std::collections::BTreeSet;
use std::path::Path;

use domain::aggregate::EventSet;
use domain::upcast::EventType;

/// Checks the files `<type>.v<version>.json` of all events of a set: each version from 1 to the current one has a file, decodes
/// through the upcasters, and the current one encodes to exactly the file's text. Answers the files' names.
pub(crate) fn check<E: EventSet>(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for EventType { name: event_type, version: current, .. } in E::TYPES {
        for version in 1..=*current {
            let name = format!("{event_type}.v{version}.json");
            let stored =
                std::fs::read_to_string(folder.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let stored = stored.trim_end();
            let event = E::read(event_type, version, stored).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(event.dotted_type(), *event_type);
            assert_eq!(event.schema_version(), *current);
            if version == *current {
                assert_eq!(event.encode(), stored, "{name}");
            }
            let again = E::read(event_type, *current, &event.encode()).expect("what was just encoded");
            assert_eq!(again, event, "{name}");
            names.insert(name);
        }
    }
    names
}
