//! The statuses of an order: the one table of legal transitions (ORD-2). Decisions ask it, the diagram in the crate's README is
//! generated from it, and a test compares both.

use super::{EndReason, OrderStatus};
use crate::names::wire_names;

wire_names!(OrderStatus, "an order status", {
    Pending => "pending",
    StockReserved => "stock_reserved",
    PaymentUnknown => "payment_unknown",
    Paid => "paid",
    Shipped => "shipped",
    Delivered => "delivered",
    Completed => "completed",
    Rejected => "rejected",
    Cancelled => "cancelled",
});

wire_names!(EndReason, "a reason why an order ended", {
    OutOfStock => "out_of_stock",
    PaymentDeclined => "payment_declined",
    PaymentTimeout => "payment_timeout",
    ShipmentFailed => "shipment_failed",
    CustomerRequest => "customer_request",
    Fraud => "fraud",
});

impl OrderStatus {
    /// The statuses that an order may have next.
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::StockReserved, Self::Rejected, Self::Cancelled],
            Self::StockReserved => &[Self::PaymentUnknown, Self::Paid, Self::Cancelled],
            Self::PaymentUnknown => &[Self::Paid, Self::Cancelled],
            Self::Paid => &[Self::Shipped, Self::Cancelled],
            Self::Shipped => &[Self::Delivered],
            Self::Delivered => &[Self::Completed],
            Self::Completed | Self::Rejected | Self::Cancelled => &[],
        }
    }

    /// Whether an order of this status may have that one next.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self.next().contains(&next)
    }

    /// Every legal transition, by the status it leaves.
    pub fn transitions() -> impl Iterator<Item = (Self, Self)> {
        Self::ALL.into_iter().flat_map(|from| from.next().iter().map(move |to| (from, *to)))
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_final(self) -> bool {
        self.next().is_empty()
    }

    /// Whether cancelling can still be asked for: until dispatch.
    #[must_use]
    pub fn is_cancellable(self) -> bool {
        self.may_become(Self::Cancelled)
    }

    /// Whether an order of this status stands at `milestone` or has passed it on the way to completion. A status off that
    /// way (unknown payment aside) has reached only itself.
    #[must_use]
    pub fn has_reached(self, milestone: Self) -> bool {
        match (self.progress(), milestone.progress()) {
            (Some(here), Some(there)) => here >= there,
            _ => self == milestone,
        }
    }

    fn progress(self) -> Option<u8> {
        match self {
            Self::Pending => Some(0),
            // While the provider's answer is missing the stock stays reserved.
            Self::StockReserved | Self::PaymentUnknown => Some(1),
            Self::Paid => Some(2),
            Self::Shipped => Some(3),
            Self::Delivered => Some(4),
            Self::Completed => Some(5),
            Self::Rejected | Self::Cancelled => None,
        }
    }

    /// The transitions as a Mermaid state diagram.
    #[must_use]
    pub fn diagram() -> String {
        let mut lines = vec!["stateDiagram-v2".to_owned(), format!("    [*] --> {}", Self::default())];
        lines.extend(Self::transitions().map(|(from, to)| format!("    {from} --> {to}")));
        lines.extend(Self::ALL.into_iter().filter(|s| s.is_final()).map(|end| format!("    {end} --> [*]")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: ORD-2
    #[test]
    fn the_readme_shows_the_diagram_of_the_code() {
        let readme = include_str!("../../../README.md");
        let shown = format!("```mermaid\n{}\n```", OrderStatus::diagram());
        assert!(readme.contains(&shown), "domain/README.md should contain:\n{shown}");
    }

    #[test]
    fn every_status_is_reached_from_pending_and_every_end_is_final() {
        let mut reached = vec![OrderStatus::Pending];
        let mut at = 0;
        while at < reached.len() {
            let more =
                reached[at].next().iter().filter(|s| !reached.contains(s)).copied().collect::<Vec<_>>();
            reached.extend(more);
            at += 1;
        }
        assert_eq!(reached.len(), OrderStatus::ALL.len());
        let ends = OrderStatus::ALL.into_iter().filter(|s| s.is_final());
        assert!(ends.eq([OrderStatus::Completed, OrderStatus::Rejected, OrderStatus::Cancelled]));
    }

    #[test]
    fn no_transition_leads_back() {
        for (from, to) in OrderStatus::transitions() {
            assert!(!to.may_become(from), "{from} and {to}");
            assert!(!from.may_become(from));
        }
    }
}
