//! Ordering: what customers order.

pub mod order;
