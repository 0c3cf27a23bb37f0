//! Payment card numbers, which must not come near the log (SEC-7): only tokens of the payment provider are taken.

/// The shortest and longest numbers that cards have.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=19;

/// Whether a text holds digits, perhaps grouped by single spaces or hyphens, that could be a card's number: 12 to 19 of them
/// with a valid Luhn check digit.
#[must_use]
pub fn contains_number(text: &str) -> bool {
    let mut digits: Vec<u32> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if let Some(digit) = c.to_digit(10) {
            digits.push(digit);
        } else if !digits.is_empty()
            && matches!(c, ' ' | '-')
            && chars.peek().is_some_and(char::is_ascii_digit)
        {
            // A separator within a number.
        } else {
            if is_number(&digits) {
                return true;
            }
            digits.clear();
        }
    }
    is_number(&digits)
}

fn is_number(digits: &[u32]) -> bool {
    LENGTHS.contains(&digits.len()) && digits.iter().any(|d| *d != 0) && luhn(digits)
}

/// The check of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| match (i % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: SEC-7
    #[test]
    fn card_numbers_are_recognised_in_every_usual_form() {
        for text in
            ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "my card: 378282246310005!"]
        {
            assert!(contains_number(text), "{text}");
        }
        for text in ["tok_visa", "4111111111111112", "0000000000000000", "12345", "tel. 030 1234567", ""] {
            assert!(!contains_number(text), "{text}");
        }
    }
}
