//! Where the sagas stand, asked of the rows of the sagas' projection. Both databases read the same statements; they differ in how a
//! parameter is written (`$1`, `?1`) and in how values come out.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use domain::Timestamp;
use projections::engine::sagas::SagaFilter;

/// The sagas that are stuck in all tenants: overdue before `$1`, at most `$2`.
pub(crate) const STUCK: &str = include_str!("stuck.sql");

/// The instant so long ago; the first one for what is longer than time.
pub(crate) fn ago(age: Duration) -> Timestamp {
    let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
    Utc::now().checked_sub_signed(age).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Which sagas a list looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that have something to do: few, whatever the shop has sold so far.
    Open,
    /// Every one that has begun.
    All,
}

impl Scope {
    /// What a list has to look at.
    pub(crate) fn of(filter: &SagaFilter) -> Self {
        match filter.status.as_deref() {
            None | Some("ended") => Self::All,
            Some(_) => Self::Open,
        }
    }
}

/// A list: of tenant `$1`, overdue before `$2`; with status `$3`, reason `$4`, since `$5` at the latest, after (`$6`, `$7`), of order
/// `$8`, each unless it is null; at most `$9`.
pub(crate) fn list(scope: Scope) -> &'static str {
    static OPEN: LazyLock<String> = LazyLock::new(|| {
        let keys = include_str!("keys_open.sql").trim_end();
        let started = include_str!("started_open.sql").trim_end();
        let join = "LEFT JOIN sagas AS s ON s.tenant = k.tenant AND s.order_id = k.order_id";
        statement(&format!("{keys} AS k {join}"), "k", started)
    });
    static ALL: LazyLock<String> = LazyLock::new(|| statement("sagas AS s", "s", "s.started_at"));
    match scope {
        Scope::Open => &OPEN,
        Scope::All => &ALL,
    }
}

fn statement(from: &str, key: &str, started: &str) -> String {
    let list = include_str!("standing.sql");
    list.replace("{from}", from).replace("{key}", key).replace("{started}", started)
}
