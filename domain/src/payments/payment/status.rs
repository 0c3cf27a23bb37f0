//! The statuses of a payment and the one table of legal transitions.

use super::{DeclineReason, PaymentStatus};
use crate::names::wire_names;

wire_names!(PaymentStatus, "a payment status", {
    Initiated => "initiated",
    Authorized => "authorized",
    Captured => "captured",
    Declined => "declined",
    Unknown => "unknown",
    Voided => "voided",
    PartiallyRefunded => "partially_refunded",
    Refunded => "refunded",
});

wire_names!(DeclineReason, "a reason of a decline", {
    Declined => "declined",
    InsufficientFunds => "insufficient_funds",
    UnknownMethod => "unknown_method",
    Refused => "refused",
});

impl PaymentStatus {
    /// The statuses that a payment may have next, by the provider's results and by refunds. A further part of a refund
    /// leaves it partially refunded; one that fails takes it back to where it was.
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Initiated => {
                &[Self::Authorized, Self::Captured, Self::Declined, Self::Unknown, Self::Voided]
            }
            Self::Unknown => &[Self::Authorized, Self::Captured, Self::Declined, Self::Voided],
            Self::Authorized => &[Self::Captured, Self::Declined, Self::Voided],
            Self::Captured => &[Self::PartiallyRefunded, Self::Refunded],
            Self::PartiallyRefunded => &[Self::Refunded],
            Self::Declined | Self::Voided | Self::Refunded => &[],
        }
    }

    /// Whether a payment of this status may have that one next.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self.next().contains(&next)
    }

    /// Whether the provider took the money, however much of it went back since.
    #[must_use]
    pub const fn is_captured(self) -> bool {
        matches!(self, Self::Captured | Self::PartiallyRefunded | Self::Refunded)
    }
}
