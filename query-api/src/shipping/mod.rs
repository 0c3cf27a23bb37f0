//! Shipments.

pub(crate) mod shipment;
