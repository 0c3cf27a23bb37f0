//! Views of the index that searches go on with: the pages of one search are of one view, whatever is committed meanwhile. Searches
//! of the same commit share one, so there are no more than commits. A view costs the files of its segments, which a merge would remove.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::tantivy::Searcher;
use uuid::Uuid;

/// The most views that are kept.
const MOST: usize = 128;
/// How long one is kept after its last page.
const KEPT: Duration = Duration::from_secs(120);

/// The views that are kept, the one used last at the end. None outlives the process.
pub(super) struct Views {
    /// Tells the names of this process's views from another's.
    process: Uuid,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    views: VecDeque<View>,
    named: u64,
    /// Somebody looks after those that nobody uses any more.
    watched: bool,
}

struct View {
    number: u64,
    searcher: Searcher,
    used: Instant,
}

impl Views {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { process: Uuid::new_v4(), held: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view of a name, if it is kept still.
    pub(super) fn get(&self, name: &str) -> Option<Searcher> {
        let number: u64 = name.strip_prefix(&format!("{}/", self.process.simple()))?.parse().ok()?;
        let mut held = self.lock();
        let at = held.views.iter().position(|view| view.number == number)?;
        let view = held.views.remove(at).filter(|view| view.used.elapsed() < KEPT)?;
        let searcher = view.searcher.clone();
        held.views.push_back(View { used: Instant::now(), ..view });
        Some(searcher)
    }

    /// Keeps a view; its name.
    pub(super) fn keep(self: &Arc<Self>, searcher: &Searcher) -> String {
        let mut held = self.lock();
        let same = held.views.iter().position(|view| view.searcher.generation() == searcher.generation());
        let view = match same.and_then(|at| held.views.remove(at)) {
            Some(view) => View { used: Instant::now(), ..view },
            None => {
                held.named += 1;
                View { number: held.named, searcher: searcher.clone(), used: Instant::now() }
            }
        };
        let name = format!("{}/{}", self.process.simple(), view.number);
        held.views.push_back(view);
        if held.views.len() > MOST {
            held.views.pop_front();
        }
        let watched = std::mem::replace(&mut held.watched, true);
        drop(held);
        if !watched {
            self.watch();
        }
        name
    }

    /// Drops views that nobody uses any more, while there are some.
    fn watch(self: &Arc<Self>) {
        let views = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEPT / 4).await;
                let Some(views) = views.upgrade() else { return };
                let mut held = views.lock();
                held.views.retain(|view| view.used.elapsed() < KEPT);
                if held.views.is_empty() {
                    held.watched = false;
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use projections::catalogue::documents::INDEX;
    use projections::engine::rows::Value;

    use super::*;
    use crate::search_document::Document;
    use crate::tantivy::fields::Fields;

    // proves: CAT-2, SEC-10
    #[tokio::test]
    async fn views_are_bounded_in_number_and_shared_by_searches_of_one_commit() {
        let fields = Fields::of(&INDEX);
        let index = ::tantivy::Index::create_in_ram(fields.schema.clone());
        let mut writer: ::tantivy::IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
        let reader = index.reader().unwrap();
        let views = Views::new();
        let first = views.keep(&reader.searcher());
        assert_eq!(views.keep(&reader.searcher()), first);
        for n in 0..MOST {
            let row =
                Document::new(vec![Value::Text("default".into()), Value::Uuid(Uuid::from_u128(n as u128))]);
            writer.add_document(fields.document(&row).unwrap()).unwrap();
            writer.commit().unwrap();
            reader.reload().unwrap();
            assert!(views.get(&first).is_some() || n + 1 == MOST);
            assert_ne!(views.keep(&reader.searcher()), first);
        }
        assert_eq!(views.lock().views.len(), MOST);
        assert_eq!(views.get(&first).unwrap().num_docs(), 0, "as it was, and used all the time");
        assert!(Views::new().get(&first).is_none(), "another process");
        for name in ["", "/", "1", "x/1"] {
            assert!(views.get(name).is_none(), "{name}");
        }
    }
}
