use proptest::prelude::*;

use super::*;

/// Numbers that payment providers publish for tests, of every issuer that has any.
const CARDS: [&str; 27] = [
    "4111111111111111",
    "4012888888881881",
    "4222222222222",
    "4000000000000000006",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "2720990000000007",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "6450000000000001",
    "30569309025904",
    "38520000023237",
    "36227206271667",
    "3530111333300000",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
    "6759649826438453",
    "6799990100000000019",
    "2200000000000004",
    "6521111111111117",
    "6362970000457013",
    "5060990580000217499",
    "9792030000000000",
];

fn digits(text: &str) -> Vec<u8> {
    text.bytes().map(|b| b - b'0').collect()
}

// proves: SEC-7
#[test]
fn published_numbers_of_every_issuer_are_recognised() {
    for card in CARDS {
        if !luhn(&digits(card)) {
            continue;
        }
        for text in [card.to_owned(), format!("card {card}."), format!("n°{card}x")] {
            assert!(contains_number(&text), "{text}");
            let common = issuers::commonly_has(&digits(card));
            assert_eq!(identifier_contains_number(&text), common, "{text}");
        }
    }
    assert!(CARDS.iter().filter(|card| luhn(&digits(card))).count() > 20);
}

// proves: SEC-7
#[test]
fn digits_around_a_number_and_odd_separators_hide_nothing() {
    for text in [
        "4111 1111 1111 1111 12/27",
        "4111 1111 1111 1111 1227 123",
        "4111-1111-1111-1111-123",
        "41111111111111111227",
        "4111 1111 1111 111112/27",
        "Main St 5 4111 1111 1111 1111",
        "Main St 54111 1111 1111 1111",
        "12 34 4111111111111111 56",
        "4111.1111.1111.1111",
        "4111\u{a0}1111\u{a0}1111\u{a0}1111",
        "4111\u{2009}1111\u{202f}1111\u{3000}1111",
        "4111\u{2011}1111–1111—1111",
        "4111 - 1111 - 1111 - 1111",
        "4111  1111 . 1111 _ 1111",
        "4\u{200b}1\u{200b}1\u{200b}11111\u{2060}11111\u{ad}111\u{feff}",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "41 11 11 11 11 11 11 11",
        "411111-1111111111",
        "４１１１１１１１１１１１１１１１",
        "٤١١١١١١١١١١١١١١١",
        "४१११ ११११ ११११ ११११",
        "𝟒𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏",
        "④①①① ①①①① ①①①① ①①①①",
        "3782 822463 10005",
        "3782-822463-100051234",
        "+4111111111111111",
        "+49 30 1234567 4111 1111 1111 1111",
        "IBAN DE89 3704 0044 0532 0130 00, card 4111 1111 1111 1111",
        "DE88 3704 0044 0532 0130 00 4111 1111 1111 1111",
        "0190b5a4-7e1c-7c3a-8d52-0242ac120002 4111111111111111",
        "4111 1111\n1111 1111",
        "card=4111111111111111&cvc=123",
        "4111111111111111abc",
    ] {
        assert!(contains_number(text), "{text:?}");
    }
}

/// What people write that is no card.
const INNOCENT: [&str; 62] = [
    "",
    "tok_visa",
    "4111111111111112",
    "4111 1111 1111 111",
    "0000000000000000",
    "0000 0000 0000 0000",
    "1234567890123456",
    "12345",
    "tel. 030 1234567",
    "+49 30 1234567",
    "+49 (0)30 1234567-89",
    "+4915112345678",
    "+4915112345679",
    "+49 151 12345678, +49 151 12345679, +49 40 7654321",
    "+49 151 12345678 +49 151 12345679 +49 40 7654321",
    "+4915112345678 +4915112345679 +4915112345670",
    "0049 151 12345678",
    "004915112345678",
    "0151 12345678\n0151 12345679\n0171 2345678",
    "030 1234567 040 7654321 0171 2345678",
    "415-555-2671 415-555-0100 415-555-0199",
    "(415) 555-2671, (415) 555-0100, (415) 555-0199",
    "+1 415 555 2671 / +1 415 555 0100",
    "+380 44 537 5000",
    "+36 30 123 4567",
    "+62 811 1234 5678",
    "order 10000042, order 10000043",
    "ORD-2026-11-30-000417",
    "302-1234567-1234567",
    "order 20261130123456",
    "1764508800123456",
    "2026-11-30 12:34:56.789012",
    "0190b5a4-7e1c-7c3a-8d52-0242ac120002",
    "41111111-1111-4111-8111-111111111111",
    "00000000-0000-0000-4111-111111111111",
    "4BF92F3577B34DA6A3CE929D0E0E4736",
    "4111111111111111abcdefabcdefabcd",
    "DE89 3704 0044 0532 0130 00",
    "DE89370400440532013000",
    "de89370400440532013000",
    "GB29 NWBK 6016 1331 9268 19",
    "FR14 2004 1010 0505 0001 3M02 606",
    "ES91 2100 0418 4502 0005 1332",
    "NL91ABNA0417164300",
    "PL61 1090 1014 0000 0712 1981 2874",
    "NO93 8601 1117 947",
    "BE68 5390 0754 7034",
    "AT61 1904 3002 3457 3201",
    "CH93 0076 2011 6238 5295 7",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    "978-3-16-148410-0",
    "9783161484100",
    "ISBN 0-306-40615-2",
    "4006381333931",
    "4006381333931 4002293401102\n5901234123457",
    "5901234123457",
    "4 006381 333931",
    "012345678905",
    "sizes 36 37 38 39 40 41 42 43 44 45 46 47 48",
    "1990, 1991, 1992; 49.90 EUR",
    "00340434161094015902",
    "a sum of 1.000.000,00",
];

// proves: SEC-7
#[test]
fn phone_numbers_orders_ibans_isbns_and_uuids_pass() {
    for text in INNOCENT {
        assert!(!contains_number(text), "{text:?}");
        assert!(!identifier_contains_number(text), "{text:?}");
    }
}

// proves: SEC-7
#[test]
fn identifiers_of_programs_pass_and_cards_in_them_do_not() {
    for n in 0..2000_u64 {
        let nanos = 1_764_508_800_000_000_000 + n * 1_234_567_891;
        let snowflake = 411_844_674_407_370_955 + n * 4_194_304_123;
        for id in [nanos.to_string(), snowflake.to_string(), format!("pay-{nanos}-{n}")] {
            assert!(!identifier_contains_number(&id), "{id}");
        }
    }
    for id in ["4111111111111111", "pay-4111111111111111-1", "4111-1111-1111-1111", "card:4111111111111111"] {
        assert!(identifier_contains_number(id), "{id}");
    }
}

/// A number of 16 or 15 digits with a right check digit.
fn card() -> impl Strategy<Value = String> {
    let prefix = prop_oneof![
        Just("4".to_owned()),
        (51..=55_u32).prop_map(|n| n.to_string()),
        (2221..=2720_u32).prop_map(|n| n.to_string()),
        Just("37".to_owned()),
        Just("6011".to_owned()),
        (3528..=3589_u32).prop_map(|n| n.to_string()),
        (622_126..=622_925_u32).prop_map(|n| n.to_string()),
    ];
    (prefix, "[0-9]{14}").prop_map(|(prefix, rest)| {
        let length = if prefix == "37" { 15 } else { 16 };
        let body: String = format!("{prefix}{rest}").chars().take(length - 1).collect();
        let check = (0..10).find(|n| luhn(&digits(&format!("{body}{n}")))).expect("one of ten is right");
        format!("{body}{check}")
    })
}

fn written(card: &str, separator: &str) -> String {
    let groups: &[usize] = if card.len() == 15 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
    let mut rest = card;
    let mut parts = Vec::new();
    for group in groups {
        let (part, more) = rest.split_at(*group);
        parts.push(part);
        rest = more;
    }
    parts.join(separator)
}

const SEPARATOR: &str = "[-. _\u{a0}\u{2002}-\u{200b}\u{2010}-\u{2015}\u{202f}\u{2060}\u{3000}\u{ad}]{0,3}";

proptest! {
    // proves: SEC-7
    #[test]
    fn a_card_is_found_whatever_separates_and_surrounds_it(
        card in card(), separator in SEPARATOR, before in "([a-z]{0,5}|[0-9]{1,6}[ /]|[0-9]{1,3})", after in "([a-z]{0,5}|[ /][0-9]{1,6}|[0-9]{1,4})",
    ) {
        let text = format!("{before}{}{after}", written(&card, &separator));
        prop_assert!(contains_number(&text), "{:?}", text);
    }

    // proves: SEC-7
    #[test]
    fn a_card_is_found_with_a_separator_anywhere(card in card(), gaps in prop::collection::vec(prop::option::of("[-. \u{a0}\u{2009}–]{1,2}"), 16)) {
        let text: String = card.chars().zip(gaps).flat_map(|(c, gap)| [c.to_string(), gap.unwrap_or_default()]).collect();
        prop_assume!(!text.chars().all(|c| c.is_ascii_digit()));
        prop_assert!(contains_number(&text) || text.split(|c: char| !c.is_ascii_digit()).any(|group| group.len() == 3), "{:?}", text);
    }

    // proves: SEC-7
    #[test]
    fn other_digits_stand_for_the_same(card in card(), zero in prop::sample::select(vec!['٠', '۰', '०', '๐', '０', '𝟎', '𝟶', '౦'])) {
        let text: String = card.bytes().filter_map(|b| char::from_u32(u32::from(zero) + u32::from(b - b'0'))).collect();
        prop_assert!(contains_number(&text), "{}", text);
    }

    // proves: SEC-7
    #[test]
    fn uuids_never_look_like_cards(bytes in any::<u128>(), decimal in "[0-9]{32}") {
        let id = uuid::Uuid::from_u128(bytes);
        prop_assert!(!contains_number(&id.to_string()));
        let twice = format!("order {id}, {}", id.to_string().to_uppercase());
        prop_assert!(!contains_number(&twice));
        let all_digits = uuid::Uuid::try_parse(&decimal).expect("32 digits are a uuid");
        prop_assert!(!contains_number(&all_digits.to_string()));
    }

    // proves: SEC-7
    #[test]
    fn phone_numbers_with_a_country_never_look_like_cards(numbers in prop::collection::vec("\\+[1-9][0-9]{1,2}[ -]?[1-9][0-9]{1,3}[ -]?[0-9]{4,6}", 1..6), between in "(, | / |; | |\n)") {
        let text = numbers.join(&between);
        prop_assert!(!contains_number(&text), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", digits in "[0-9 .+-]{0,80}") {
        let _ = (contains_number(&text), contains_number(&digits), identifier_contains_number(&digits));
    }
}
