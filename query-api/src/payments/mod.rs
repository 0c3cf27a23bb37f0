//! Payments.

pub(crate) mod payment;
