//! Which issuers' cards begin with which digits, and how long they are.
//!
//! Sources: the table of issuer identification numbers in Wikipedia's "Payment card number", and Braintree's
//! `credit-card-type` (2025), whose ranges are the wider ones for Maestro, UnionPay and Elo. ISO/IEC 7812-1 has the form.

use std::ops::RangeInclusive;

/// Cards of one prefix.
struct Range {
    /// The first digits, all with the same number of them.
    from: u32,
    to: u32,
    lengths: RangeInclusive<usize>,
    /// Lengths at which a number with other digits right before or behind it is still taken for a card: those that are issued
    /// today. The others are rare, and any long number would hold one of them.
    common: &'static [usize],
}

const fn range(from: u32, to: u32, lengths: RangeInclusive<usize>, common: &'static [usize]) -> Range {
    Range { from, to, lengths, common }
}

const RANGES: &[Range] = &[
    // Visa; 13 digits in the past. Elo, Dankort and Girocard have numbers of the same form.
    range(4, 4, 13..=13, &[]),
    range(4, 4, 16..=19, &[16, 19]),
    // Mastercard.
    range(51, 55, 16..=16, &[16]),
    range(2221, 2720, 16..=16, &[16]),
    // American Express.
    range(34, 34, 15..=15, &[15]),
    range(37, 37, 15..=15, &[15]),
    // Diners Club.
    range(300, 305, 14..=19, &[14, 16]),
    range(3095, 3095, 14..=19, &[14, 16]),
    range(36, 36, 14..=19, &[14, 16]),
    range(38, 39, 14..=19, &[14, 16]),
    // JCB.
    range(3528, 3589, 16..=19, &[16]),
    range(2131, 2131, 15..=16, &[15]),
    range(1800, 1800, 15..=16, &[15]),
    // RuPay (also 60, 65 and 508, which are below).
    range(353, 353, 16..=16, &[16]),
    range(356, 356, 16..=16, &[16]),
    range(81, 82, 16..=19, &[16]),
    // Mir, and BORICA's Bcard.
    range(2200, 2205, 16..=19, &[16]),
    // UzCard, Humo and Troy.
    range(8600, 8600, 16..=16, &[16]),
    range(9860, 9860, 16..=16, &[16]),
    range(9792, 9792, 16..=16, &[16]),
    // Maestro, Elo, Verve, Dankort and RuPay.
    range(50, 50, 12..=19, &[16]),
    range(56, 59, 12..=19, &[16]),
    // Discover (6011, 644 to 649, 65), UnionPay (62), Maestro, Elo, RuPay, Hipercard, Troy, InstaPayment, UkrCard: all of 6.
    range(6, 6, 12..=19, &[16]),
    range(62, 62, 16..=19, &[19]),
];

/// Whether an issuer has cards that begin like these digits and are as many.
pub(super) fn has(digits: &[u8]) -> bool {
    matching(digits).any(|range| range.lengths.contains(&digits.len()))
}

/// As [`has`], for the lengths that are usual with the issuer.
pub(super) fn commonly_has(digits: &[u8]) -> bool {
    matching(digits).any(|range| range.common.contains(&digits.len()))
}

fn matching(digits: &[u8]) -> impl Iterator<Item = &'static Range> {
    let prefix = |length: usize| digits.iter().take(length).fold(0, |n, digit| n * 10 + u32::from(*digit));
    let prefixes = [prefix(1), prefix(2), prefix(3), prefix(4)];
    RANGES.iter().filter(move |range| {
        let length = range.from.ilog10() as usize;
        prefixes.get(length).is_some_and(|prefix| (range.from..=range.to).contains(prefix))
    })
}
