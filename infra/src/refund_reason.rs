//! What both databases make of a refund's two columns.

use domain::payments::payment::RefundReason;
use domain::personal::Sealed;

/// A refund's reason: sealed, or in the clear.
pub(crate) fn reason(plain: Option<String>, sealed: Option<String>) -> RefundReason {
    match sealed {
        Some(sealed) => RefundReason::Sealed(Sealed::from_text(sealed)),
        // A refund that was settled before its acceptance was seen has none yet.
        None => RefundReason::Plain(plain.unwrap_or_default()),
    }
}
