//! What the sagas need from the outside world: a payment provider and a carrier.
//!
//! Both are called at least once per step, so both must make repeated calls under one key one charge, one booking, one
//! refund. The key is in the log before the first call.

use std::time::Duration;

use async_trait::async_trait;
use domain::money::Money;
use domain::payments::payment::DeclineReason;
use domain::text::card;
use uuid::Uuid;

use crate::engine::process::Retry;

/// Why a provider's answer is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The call was sent and no answer came: it may have been carried out, may be later, or never. Ask under the same key.
    #[error("the provider didn't answer in time")]
    Timeout,
    /// The provider can't be reached or is not working: nothing was carried out, repeat later.
    #[error("the provider is unavailable: {0}")]
    Unavailable(String),
    /// A definite no: nothing was carried out. A charge, a refund or a booking never will be under this key; to call one off may
    /// be asked again. Holds the provider's words.
    #[error("the provider refuses the call: {0}")]
    Refused(String),
}

impl From<ProviderError> for Retry {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Timeout | ProviderError::Unavailable(_) => Self::later(error),
            // Every caller makes an outcome of it.
            ProviderError::Refused(_) => Self::somebody(error),
        }
    }
}

/// The outcome of a call, or a time-out once it takes too long.
pub(crate) async fn in_time<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    tokio::time::timeout(limit, call).await.unwrap_or(Err(ProviderError::Timeout))
}

/// The longest words of a provider or carrier that are kept, in characters.
const MAX_WORDS: usize = 200;

/// Somebody else's words, as they are kept for ever: not too long, and without what looks like a card's number.
pub(crate) fn words(said: &str) -> String {
    if card::contains_number(said) {
        return "withheld: it looks like it has a card number in it".to_owned();
    }
    said.chars().take(MAX_WORDS).collect()
}

/// A charge at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// The money was taken.
    Captured {
        /// The provider's own id of the charge.
        reference: String,
    },
    /// The money is set aside and will be taken later.
    Authorized {
        /// The provider's own id of the charge.
        reference: String,
    },
    /// The provider said no, for good.
    Declined(DeclineReason),
    /// It was called off, for good.
    Voided,
}

/// What calling a charge off led to. Both are for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoidOutcome {
    /// Nothing was taken under the key and nothing ever will be, also when the charge hasn't reached the provider yet.
    Voided,
    /// Too late: the money was taken.
    AlreadyCaptured {
        /// The provider's own id of the charge.
        reference: String,
    },
}

/// What is to be charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRequest {
    /// Makes repeated calls one charge.
    pub key: String,
    /// For the provider's books.
    pub payment_id: Uuid,
    /// For the provider's books.
    pub order_id: Uuid,
    /// How much.
    pub amount: Money,
    /// The provider's token of the payment method.
    pub method: String,
}

/// A provider that takes and gives back money.
#[async_trait]
pub trait PaymentProvider: Send + Sync + 'static {
    /// Charges; a repeat under the same key answers what the first call led to so far.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn charge(&self, request: &ChargeRequest) -> Result<Charge, ProviderError>;

    /// What became of the charge under the key; `None` when none has reached the provider so far.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn lookup(&self, key: &str) -> Result<Option<Charge>, ProviderError>;

    /// Calls the charge under the key off. Leaves a tombstone when there is none, so that one that arrives later is refused.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn void(&self, key: &str) -> Result<VoidOutcome, ProviderError>;

    /// Pays back; a repeat with the same refund id changes nothing. Answers the provider's own id of the refund.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn refund(&self, key: &str, refund_id: Uuid, amount: Money) -> Result<String, ProviderError>;
}

/// What is to be carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookingRequest {
    /// Makes repeated calls one booking.
    pub key: String,
    /// For the carrier's books.
    pub shipment_id: Uuid,
    /// For the carrier's books.
    pub order_id: Uuid,
    /// Where to: ISO 3166-1 alpha-2 code.
    pub country: String,
}

/// The carrier's answer to a booking; for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Booking {
    /// It will be carried.
    Booked {
        /// The carrier's own id.
        reference: String,
    },
    /// It won't.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

/// A carrier.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Books; a repeat under the same key answers the same.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn book(&self, request: &BookingRequest) -> Result<Booking, ProviderError>;

    /// Calls the booking under the key off; changes nothing when there is none.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn cancel(&self, key: &str) -> Result<(), ProviderError>;
}
