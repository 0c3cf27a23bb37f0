//! Shipping: how orders come to those who placed them.

pub mod shipment;
