//! How the shop's old events are read today.

use std::sync::LazyLock;

use crate::upcast::Upcasters;

/// The shop's upcaster chain.
pub fn shop() -> &'static Upcasters {
    static CHAIN: LazyLock<Upcasters> = LazyLock::new(|| Upcasters::new(&[]));
    &CHAIN
}
