//! Money: integer minor units of one currency.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An ISO 4217 code; all of these have two decimal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// United States dollar.
    Usd,
    /// Euro.
    Eur,
    /// Pound sterling.
    Gbp,
}

impl Currency {
    /// Every currency.
    pub const ALL: [Self; 3] = [Self::Usd, Self::Eur, Self::Gbp];

    /// The ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|c| c.code() == code).ok_or(MoneyError::UnknownCurrency)
    }
}

/// The largest amount a price, total or payment may have, in minor units: exact in every JSON reader (2^53 − 1).
pub const MAX_AMOUNT: i64 = (1 << 53) - 1;

/// An amount in minor units (cents) of a currency.
// Never negative where the domain accepts one from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units: 1999 is 19.99.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 1999)]
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why an operation on money has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The result is above [`MAX_AMOUNT`].
    #[error("the amount is above the largest one supported, {MAX_AMOUNT} minor units")]
    Overflow,
    /// The amounts are of different currencies.
    #[error("the amounts are of different currencies")]
    MixedCurrencies,
    /// No such currency.
    #[error("the currency is not one of USD, EUR, GBP")]
    UnknownCurrency,
}

impl Money {
    /// An amount of minor units.
    #[must_use]
    pub fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self { amount: 0, currency }
    }

    fn bounded(amount: i64, currency: Currency) -> Result<Self, MoneyError> {
        if amount.unsigned_abs() > MAX_AMOUNT.unsigned_abs() {
            return Err(MoneyError::Overflow);
        }
        Ok(Self { amount, currency })
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies);
        }
        Self::bounded(self.amount.checked_add(other.amount).ok_or(MoneyError::Overflow)?, self.currency)
    }

    /// The difference; may be negative.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies);
        }
        Self::bounded(self.amount.checked_sub(other.amount).ok_or(MoneyError::Overflow)?, self.currency)
    }

    /// This amount, `quantity` times.
    pub fn times(self, quantity: u32) -> Result<Self, MoneyError> {
        let amount = self.amount.checked_mul(i64::from(quantity)).ok_or(MoneyError::Overflow)?;
        Self::bounded(amount, self.currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.amount < 0 { "-" } else { "" };
        let units = self.amount.unsigned_abs();
        write!(f, "{sign}{}.{:02} {}", units / 100, units % 100, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_refuse_other_currencies_and_overflow() {
        let usd = Money::new(MAX_AMOUNT, Currency::Usd);
        assert_eq!(usd.plus(Money::new(1, Currency::Usd)), Err(MoneyError::Overflow));
        assert_eq!(usd.plus(Money::new(1, Currency::Eur)), Err(MoneyError::MixedCurrencies));
        assert_eq!(usd.times(2), Err(MoneyError::Overflow));
        assert_eq!(Money::new(i64::MAX, Currency::Usd).times(u32::MAX), Err(MoneyError::Overflow));
    }

    #[test]
    fn json_is_amount_and_currency() {
        let money = Money::new(1999, Currency::Usd);
        let json = serde_json::to_string(&money).unwrap();
        assert_eq!(json, r#"{"amount":1999,"currency":"USD"}"#);
        assert!(serde_json::from_str::<Money>(r#"{"amount":1.5,"currency":"USD"}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"{"amount":1,"currency":"XXX"}"#).is_err());
    }
}
