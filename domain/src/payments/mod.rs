//! Payments: what is charged for orders, and paid back.

pub mod payment;
