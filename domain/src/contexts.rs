//! The shop's contexts: the one list of them.

/// Hands the names of the shop's contexts to a macro of the caller's. A context is a folder of its name in this crate, in `projections`, in
/// `command-api` and in `query-api`; each of them declares its modules and joins what they give by this list, so that a new
/// context is a new name here.
#[macro_export]
macro_rules! contexts {
    ($join:ident) => {
        $join! { catalogue identity inventory ordering payments reviews shipping }
    };
}
