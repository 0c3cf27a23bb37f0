//! Payment card numbers, which must not come near the log (SEC-7): only tokens of the payment provider are taken.
//!
//! The text is folded first: digits of every script and style become ASCII digits, what is invisible is dropped, and every dash,
//! space, dot and underscore is a separator. UUIDs, hexadecimal identifiers and IBANs are taken out. In what is left, each run
//! of digits with nothing but separators between is a row of groups, and every window of 12 to 19 digits in it is looked at: it
//! is a card's number when an issuer has cards that begin so and are as long, and the check digit is right (Luhn).
//!
//! So that phone numbers, article numbers and lists pass, a window must also stand in its row as a card's number would:
//! - It begins and ends with a group; then any grouping will do, but for lengths that are hardly used any more, and across lines:
//!   there the groups must be of four, or as embossed on American Express and Diners cards.
//! - Or more digits touch it (a check value, an expiry date): then it must be of a length that its issuer uses today, and lie
//!   within one group or be grouped as embossed.
//! - A number with a `+` of at most 13 digits is a phone number (E.164); one of 13 or 12 digits whose check digit is that of
//!   an EAN or UPC is one, and 20 digits that begin with 00 are a parcel's (SSCC); small numbers that rise or fall are a list.
//!
//! What it can't tell: one in ten numbers that an issuer's range and length fit has a right check digit by chance.

mod innocent;
mod issuers;

use unicode_normalization::UnicodeNormalization;

use super::characters::{decimal, is_invisible, is_space};

const SHORTEST: usize = 12;
const LONGEST: usize = 19;
/// The most digits of a phone number with its country that are taken for one.
const LONGEST_PHONE: usize = 13;

/// How a text is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// As something that a person wrote.
    Written,
    /// As an identifier that a program made: only whole groups of lengths that are in use. Counters and times of 17 and more
    /// digits are usual there, and nearly any of them holds something like a card's number somewhere.
    Identifier,
}

/// Whether a text that somebody wrote holds what looks like a payment card's number.
#[must_use]
pub fn contains_number(text: &str) -> bool {
    holds(text, Look::Written)
}

/// Whether an identifier (a key, a request's id) holds what looks like a payment card's number.
#[must_use]
pub fn identifier_contains_number(text: &str) -> bool {
    holds(text, Look::Identifier)
}

fn holds(text: &str, look: Look) -> bool {
    // A cheap no for nearly everything. One character may stand for two digits (⑫), so it is the bytes that are counted.
    if text.len() < SHORTEST / 3 || !text.chars().any(|c| c.is_numeric()) {
        return false;
    }
    let mut folded = fold(text);
    innocent::take_out(&mut folded);
    rows(&folded).iter().any(|row| row.holds_number(look))
}

/// The text with ASCII digits, without what is invisible, and with one sign for each kind of separator.
fn fold(text: &str) -> Vec<char> {
    let digit = |c: char| decimal(c).map_or(c, |value| char::from(b'0' + value));
    text.nfkd()
        .filter(|c| !is_invisible(*c) && *c != '\u{7f}' && (!c.is_control() || is_space(*c)))
        .map(digit)
        .map(|c| match c {
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
            '-'
            | '\u{2010}'..='\u{2015}'
            | '\u{2212}'
            | '\u{2043}'
            | '\u{2d7}'
            | '\u{30fc}'
            | '\u{58a}'
            | '\u{5be}'
            | '\u{1806}'
            | '\u{2e3a}'
            | '\u{2e3b}'
            | '\u{301c}'
            | '\u{3030}' => '-',
            '.' | '\u{b7}' | '\u{2022}' | '\u{2027}' | '\u{3002}' | '\u{30fb}' | '\u{22c5}' | '\u{6d4}' => {
                '.'
            }
            c if is_space(c) => ' ',
            c => c,
        })
        .collect()
}

/// Groups of digits with nothing but separators between.
#[derive(Debug, Default)]
struct Row {
    digits: Vec<u8>,
    /// Where each group begins in `digits`.
    starts: Vec<usize>,
    /// Which of the groups begin a line.
    after_line: Vec<usize>,
    /// A `+` stands before it.
    plus: bool,
}

fn rows(text: &[char]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = Row::default();
    let (mut in_group, mut line) = (false, false);
    for c in text {
        match c {
            '0'..='9' => {
                if !in_group {
                    row.starts.push(row.digits.len());
                    if line {
                        row.after_line.push(row.digits.len());
                    }
                }
                row.digits.push(*c as u8 - b'0');
                (in_group, line) = (true, false);
            }
            '-' | '.' | '_' | ' ' | '\n' => {
                in_group = false;
                line |= *c == '\n';
            }
            _ => {
                let plus = *c == '+';
                rows.push(std::mem::replace(&mut row, Row { plus, ..Row::default() }));
                (in_group, line) = (false, false);
            }
        }
    }
    rows.push(row);
    rows
}

impl Row {
    fn holds_number(&self, look: Look) -> bool {
        if self.digits.len() < SHORTEST || (self.plus && self.digits.len() <= LONGEST_PHONE) {
            return false;
        }
        (0..=self.digits.len() - SHORTEST).any(|start| {
            let most = LONGEST.min(self.digits.len() - start);
            (SHORTEST..=most).any(|length| self.is_number(start, start + length, look))
        })
    }

    fn is_number(&self, start: usize, end: usize, look: Look) -> bool {
        let digits = &self.digits[start..end];
        let rare = !issuers::commonly_has(digits);
        if !issuers::has(digits) || (rare && look == Look::Identifier) || !luhn(digits) {
            return false;
        }
        let groups = self.groups(start, end);
        let whole = self.begins_group(start) && self.begins_group(end);
        if !whole {
            return look == Look::Written
                && !rare
                && (groups.len() == 1 || embossed(&groups))
                && !self.is_parcel(start);
        }
        match groups.len() {
            1 => !(is_article(digits) || (self.plus && start == 0 && digits.len() <= LONGEST_PHONE)),
            _ if embossed(&groups) => true,
            _ => {
                let crosses_lines = self.after_line.iter().any(|at| (start + 1..end).contains(at));
                (!rare || digits.len() == LONGEST)
                    && !crosses_lines
                    && !is_list(digits, &groups)
                    && !are_phones(&groups)
            }
        }
    }

    /// Whether a group begins here, or the row ends.
    fn begins_group(&self, at: usize) -> bool {
        at == self.digits.len() || self.starts.binary_search(&at).is_ok()
    }

    /// How many digits of each group lie in the window.
    fn groups(&self, start: usize, end: usize) -> Vec<usize> {
        let inner = self.starts.iter().copied().filter(|at| (start + 1..end).contains(at));
        let bounds: Vec<usize> = [start].into_iter().chain(inner).chain([end]).collect();
        bounds.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// Whether the group around a digit is a Serial Shipping Container Code with its application identifier 00 (GS1).
    fn is_parcel(&self, at: usize) -> bool {
        let group = self.starts.partition_point(|start| *start <= at) - 1;
        let begin = self.starts[group];
        let end = self.starts.get(group + 1).copied().unwrap_or(self.digits.len());
        end - begin == 20 && self.digits[begin..begin + 2] == [0, 0] && gs1(&self.digits[begin..end])
    }
}

/// The groupings on cards: by four with a rest, 4-6-5 and 4-6-4; and the first six apart, as receipts have them.
fn embossed(groups: &[usize]) -> bool {
    let by_four = groups.split_last().is_some_and(|(last, rest)| {
        rest.len() >= 2 && rest.iter().all(|group| *group == 4) && (1..=7).contains(last)
    });
    by_four || matches!(groups, [4, 6, 4 | 5] | [6, 13])
}

/// Small numbers that rise or fall throughout: sizes, years, pages.
fn is_list(digits: &[u8], groups: &[usize]) -> bool {
    let width = groups[0];
    if !(2..=3).contains(&width) || groups.iter().any(|group| *group != width) {
        return false;
    }
    let numbers: Vec<&[u8]> = digits.chunks(width).collect();
    numbers.is_sorted_by(|a, b| a < b) || numbers.is_sorted_by(|a, b| a > b)
}

/// Phone numbers one after another, as North America groups them.
fn are_phones(groups: &[usize]) -> bool {
    matches!(groups, [3, 3, 4, 3, 3] | [3, 4, 3, 3, 3] | [3, 7, 3, ..] | [7, 3, ..])
}

/// Whether these are all digits of an EAN-13 or UPC-A, ISBN-13 included.
fn is_article(digits: &[u8]) -> bool {
    matches!(digits.len(), 12 | 13) && gs1(digits)
}

/// The check digit of GS1's numbers (General Specifications, 7.9).
fn gs1(digits: &[u8]) -> bool {
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(i, d)| u32::from(*d) * if i % 2 == 0 { 1 } else { 3 }).sum();
    sum.is_multiple_of(10)
}

/// The check of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let doubled = |d: u8| if d > 4 { 2 * d - 9 } else { 2 * d };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| u32::from(if i % 2 == 0 { *d } else { doubled(*d) }))
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests;
