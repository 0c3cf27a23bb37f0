//! The order of prices: by currency first, in order of its code, since amounts of two currencies can't be compared; then by
//! amount. Both in one number, so that every backend pages through the same list.

use domain::money::{Currency, MAX_AMOUNT, Money};

/// The bits of an amount.
const AMOUNT_BITS: u32 = 53;
const _: () =
    assert!(MAX_AMOUNT == (1 << AMOUNT_BITS) - 1, "every amount fits into its bits, and fills them");

/// The currencies in order of their codes, as every database sorts them.
fn sorted() -> [Currency; Currency::ALL.len()] {
    let mut all = Currency::ALL;
    all.sort_unstable_by_key(|currency| currency.code());
    all
}

/// The place of a price in a list that begins with each currency's cheapest.
pub(crate) fn ascending(price: Money) -> i64 {
    let rank = sorted().iter().position(|currency| *currency == price.currency).unwrap_or_default();
    // A handful of currencies, and amounts of at most their bits.
    ((rank as i64) << AMOUNT_BITS) | price.amount.clamp(0, MAX_AMOUNT)
}

/// The place of a price in a list that begins with each currency's dearest; the currencies stay in order.
pub(crate) fn descending(price: Money) -> i64 {
    turned(ascending(price))
}

/// The place in the other of the two orders.
pub(crate) fn turned(place: i64) -> i64 {
    place ^ MAX_AMOUNT
}

/// The price at an ascending place; `None` for a place that no price has.
pub(crate) fn price_at(place: i64) -> Option<Money> {
    let rank = usize::try_from(place >> AMOUNT_BITS).ok()?;
    sorted().get(rank).map(|currency| Money::new(place & MAX_AMOUNT, *currency))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price() -> impl Strategy<Value = Money> {
        let amount = prop_oneof![0..5_i64, MAX_AMOUNT - 5..=MAX_AMOUNT, 0..=MAX_AMOUNT];
        (amount, prop::sample::select(Currency::ALL.to_vec()))
            .prop_map(|(n, currency)| Money::new(n, currency))
    }

    proptest! {
        // proves: CAT-1, CAT-2
        #[test]
        fn amounts_are_compared_within_their_currency(one in price(), other in price()) {
            let by = |p: Money, amount: i64| (p.currency.code(), amount);
            prop_assert_eq!(
                ascending(one).cmp(&ascending(other)),
                by(one, one.amount).cmp(&by(other, other.amount))
            );
            prop_assert_eq!(
                descending(one).cmp(&descending(other)),
                by(one, -one.amount).cmp(&by(other, -other.amount))
            );
            prop_assert_eq!(price_at(ascending(one)), Some(one));
            prop_assert_eq!(price_at(turned(descending(one))), Some(one));
        }

        #[test]
        fn no_place_makes_it_panic(place in any::<i64>()) {
            if let Some(price) = price_at(place) {
                prop_assert_eq!(ascending(price), place);
            }
        }
    }
}
