//! The entity tag of an order. Its body shows the payment and the shipment, whose streams are their own: the tag covers all three,
//! so that it changes whenever one of them does.

use std::fmt;

/// The versions of an order's streams; 0 for a part that has no event yet. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderTag {
    /// The order's.
    pub order: u64,
    /// The payment's.
    pub payment: u64,
    /// The shipment's.
    pub shipment: u64,
}

impl fmt::Display for OrderTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.payment, self.shipment) {
            (0, 0) => write!(f, "{}", self.order),
            (payment, 0) => write!(f, "{}.{payment}", self.order),
            (payment, shipment) => write!(f, "{}.{payment}.{shipment}", self.order),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // proves: ORD-1, QRY-1
        #[test]
        fn no_two_states_of_the_streams_share_a_tag(one in [0..3_u64, 0..3, 0..3], other in [0..3_u64, 0..3, 0..3]) {
            let tag = |[order, payment, shipment]: [u64; 3]| OrderTag { order, payment, shipment };
            prop_assert_eq!(tag(one).to_string() == tag(other).to_string(), one == other);
        }
    }
}
