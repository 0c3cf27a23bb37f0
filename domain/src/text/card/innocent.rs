//! Numbers that are known to be something else: they are taken out before cards are looked for.

/// The digits of an IBAN by country (SWIFT's IBAN registry, release 99), the country code and check digits included.
const IBANS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 \
    EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 \
    LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 \
    RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

/// The lengths of identifiers that are written as hexadecimal digits: object ids, UUIDs and trace ids, SHA-1, SHA-256.
const HEX_LENGTHS: [usize; 4] = [24, 32, 40, 64];
/// The letters that such an identifier has at least; one that has hardly any would be a number with something behind it.
const FEWEST_LETTERS: usize = 3;

/// Puts a character that ends every number in the place of what is no card: UUIDs, hexadecimal identifiers, IBANs.
/// The text is folded: ASCII digits, `-` and a space for the separators.
pub(super) fn take_out(text: &mut [char]) {
    let mut at = 0;
    while at < text.len() {
        let begins = at == 0 || !text[at - 1].is_alphanumeric();
        let length = if begins && text[at].is_ascii_alphanumeric() {
            uuid(&text[at..]).or_else(|| hexadecimal(&text[at..])).or_else(|| iban(&text[at..]))
        } else {
            None
        };
        let end = at + length.unwrap_or(1);
        if length.is_some() {
            text[at..end].fill('\0');
        }
        at = end;
    }
}

fn ends(text: &[char], length: usize) -> bool {
    text.get(length).is_none_or(|c| !c.is_alphanumeric())
}

fn uuid(text: &[char]) -> Option<usize> {
    let fits = |(i, c): (usize, &char)| match i {
        8 | 13 | 18 | 23 => *c == '-',
        _ => c.is_ascii_hexdigit(),
    };
    let is = text.get(..36)?.iter().enumerate().all(fits) && ends(text, 36);
    is.then_some(36)
}

fn hexadecimal(text: &[char]) -> Option<usize> {
    let length = text.iter().take_while(|c| c.is_ascii_hexdigit()).count();
    let letters = text[..length].iter().filter(|c| c.is_ascii_alphabetic()).count();
    (HEX_LENGTHS.contains(&length) && letters >= FEWEST_LETTERS && ends(text, length)).then_some(length)
}

/// An IBAN of its country's length whose check digits are right (ISO 13616: modulo 97 of ISO/IEC 7064), grouped or not.
fn iban(text: &[char]) -> Option<usize> {
    let country: String = text.get(..2)?.iter().map(char::to_ascii_uppercase).collect();
    let length: usize =
        IBANS.split(' ').find_map(|entry| entry.strip_prefix(country.as_str()))?.parse().ok()?;
    let mut signs = Vec::with_capacity(length);
    let mut end = 0;
    for (i, c) in text.iter().enumerate() {
        if c.is_ascii_alphanumeric() {
            signs.push(c.to_digit(36)?);
            end = i + 1;
        } else if !matches!(c, ' ' | '-') || i + 1 - end > 1 {
            break;
        }
        if signs.len() == length {
            break;
        }
    }
    let check = signs[2..].iter().take(2).all(|sign| *sign < 10);
    if signs.len() != length || !check || !ends(text, end) {
        return None;
    }
    signs.rotate_left(4);
    let remainder =
        signs.iter().fold(0, |n, sign| if *sign < 10 { (n * 10 + sign) % 97 } else { (n * 100 + sign) % 97 });
    (remainder == 1).then_some(end)
}
