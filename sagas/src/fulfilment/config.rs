//! How patient the sagas are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How order fulfilment deals with time. What decisions need of it travels in the saga's first event ([`Terms`]), so a change
/// holds for orders placed from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FulfilmentConfig {
    /// How long stock stays set aside for an order that isn't paid; then the order is cancelled.
    pub reservation_ttl: Duration,
    /// How many times the provider may answer "no such charge" before the charge is voided.
    pub lookups: u32,
    /// The pause before the first look-up of a charge whose outcome isn't known; doubles each time.
    pub lookup_backoff: Duration,
    /// The longest pause between two look-ups.
    pub lookup_backoff_max: Duration,
    /// How long one call of the provider or the carrier may take; then its outcome is unknown.
    pub provider_timeout: Duration,
    /// How many times a charge is repeated while the provider can't be reached; then its outcome counts as unknown.
    pub charge_retries: u32,
    /// How long booking a shipment may take; then the order is cancelled.
    pub booking: Duration,
    /// How long an order that is being cancelled waits for a provider or carrier that is away; then it is cancelled, and what they
    /// have to undo is undone when they are back.
    pub patience: Duration,
}

impl Default for FulfilmentConfig {
    fn default() -> Self {
        Self {
            reservation_ttl: Duration::from_mins(15),
            lookups: 3,
            lookup_backoff: Duration::from_secs(1),
            lookup_backoff_max: Duration::from_secs(4),
            provider_timeout: Duration::from_secs(5),
            charge_retries: 5,
            booking: Duration::from_secs(30),
            patience: Duration::from_secs(5),
        }
    }
}

/// The part of [`FulfilmentConfig`] that decisions need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// See [`FulfilmentConfig::reservation_ttl`], milliseconds.
    pub reservation_ttl_ms: u64,
    /// See [`FulfilmentConfig::lookups`].
    pub lookups: u32,
    /// See [`FulfilmentConfig::lookup_backoff`], milliseconds.
    pub lookup_backoff_ms: u64,
    /// See [`FulfilmentConfig::lookup_backoff_max`], milliseconds.
    pub lookup_backoff_max_ms: u64,
    /// See [`FulfilmentConfig::booking`], milliseconds.
    pub booking_ms: u64,
    /// See [`FulfilmentConfig::patience`], milliseconds.
    pub patience_ms: u64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl FulfilmentConfig {
    /// The terms of an order placed now.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            reservation_ttl_ms: millis(self.reservation_ttl),
            lookups: self.lookups,
            lookup_backoff_ms: millis(self.lookup_backoff),
            lookup_backoff_max_ms: millis(self.lookup_backoff_max),
            booking_ms: millis(self.booking),
            patience_ms: millis(self.patience),
        }
    }
}

/// How much the shop's work may take at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Commands on their way at once.
    pub commands: usize,
    /// Calls of the payment provider at once: the provider's bulkhead.
    pub payment_calls: usize,
    /// Calls of the carrier at once: the carrier's bulkhead.
    pub carrier_calls: usize,
    /// How long the owner of a shard may take to answer one attempt.
    pub command_timeout: Duration,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { commands: 64, payment_calls: 32, carrier_calls: 16, command_timeout: Duration::from_secs(10) }
    }
}
