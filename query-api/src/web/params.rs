//! Query parameters, read strictly: unknown, repeated and malformed ones are refused with 400.

use std::str::FromStr;

use command_api::web::problem::Problem;
use domain::money::MAX_AMOUNT;
use domain::text::{identifier, percent};
use domain::uuids::any_spelling;
use uuid::Uuid;

/// The most rows of a page.
const MAX_LIMIT: usize = 100;
/// The rows of a page when nobody says.
const DEFAULT_LIMIT: usize = 20;
/// The longest text parameter, in characters.
pub const MAX_TEXT: usize = 500;
/// The longest cursor, in characters: room for the pinned heads of the largest store.
const MAX_CURSOR: usize = 32_768;

/// The parameters of one request, decoded, in the order of the request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the part of the URI after `?`. Only `known` names may occur, each once; `repeated` ones any number of times.
    ///
    /// # Errors
    /// 400 `bad-parameter` for anything else, and for text that is not percent-encoded UTF-8 or has a NUL in it, which no
    /// database takes.
    pub fn parse(raw: Option<&str>, known: &[&str], repeated: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in raw.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let Some(name) = decode(name) else {
                return Err(Problem::bad_parameter("", "a parameter's name is not percent-encoded UTF-8"));
            };
            if !known.contains(&name.as_str()) && !repeated.contains(&name.as_str()) {
                let shown: String = name.chars().take(60).collect();
                return Err(Problem::bad_parameter(&shown, "this operation has no such parameter"));
            }
            let Some(mut value) = decode(value) else {
                return Err(Problem::bad_parameter(&name, "the value is not percent-encoded UTF-8 text"));
            };
            // Ids in the one spelling that is written, so that a list and its cursors don't depend on how it was asked for.
            if let Some(id) = name.ends_with("_id").then(|| any_spelling(&value)).flatten() {
                value = id.to_string();
            }
            if !repeated.contains(&name.as_str()) && pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_parameter(&name, "the parameter is given twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whatever decides which rows a list has, and in which order: every parameter but `limit` and `cursor`, sorted by name.
    pub fn filters(&self) -> Vec<&str> {
        let mut pairs: Vec<_> =
            self.0.iter().filter(|(name, _)| name != "limit" && name != "cursor").collect();
        pairs.sort();
        pairs.into_iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect()
    }

    /// `limit`: 1 to 100, 20 by default.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(DEFAULT_LIMIT) };
        digits::<usize>(text)
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| Problem::bad_parameter("limit", format!("not an integer from 1 to {MAX_LIMIT}")))
    }

    /// `cursor`, as it came.
    pub fn cursor(&self) -> Option<&str> {
        self.get("cursor").map(|text| if text.len() > MAX_CURSOR { "" } else { text })
    }

    /// A text of at most [`MAX_TEXT`] characters.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.get(name) {
            Some(text) if text.chars().nth(MAX_TEXT).is_some() => {
                Err(Problem::bad_parameter(name, format!("longer than {MAX_TEXT} characters")))
            }
            text => Ok(text),
        }
    }

    /// An identifier that people type, in its normal form.
    pub fn identifier(&self, name: &str) -> Result<Option<String>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        identifier::normal(text).map(Some).map_err(|e| Problem::bad_parameter(name, e.to_string()))
    }

    /// An amount in minor units: a non-negative integer up to 2^53 − 1.
    pub fn amount(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let amount = digits::<i64>(text).filter(|amount| *amount <= MAX_AMOUNT);
        let refused =
            || Problem::bad_parameter(name, format!("not an integer of minor units from 0 to {MAX_AMOUNT}"));
        amount.map(Some).ok_or_else(refused)
    }

    /// A UUID.
    pub fn uuid(&self, name: &str) -> Result<Option<Uuid>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        any_spelling(text).map(Some).ok_or_else(|| Problem::bad_parameter(name, "not a UUID"))
    }

    /// One of the given words, and what it stands for.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.map(Some).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            Problem::bad_parameter(name, format!("not one of {}", words.join(", ")))
        })
    }
}

/// The UUID of a path, in any spelling; a resource can't have another id, so anything else is not found.
pub fn path_id(text: &str, what: &str) -> Result<Uuid, Problem> {
    any_spelling(text).ok_or_else(|| Problem::not_found(what))
}

/// A number of decimal digits only: no sign, no spaces.
pub fn digits<T: FromStr>(text: &str) -> Option<T> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Decodes `application/x-www-form-urlencoded` text; `None` for a broken escape, for what is not UTF-8, and for NUL.
fn decode(text: &str) -> Option<String> {
    percent::decoded(&text.replace('+', " ")).filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(raw: &str) -> Result<Params, Problem> {
        Params::parse(Some(raw), &["limit", "cursor", "q", "min_price", "id", "sort"], &["product_id"])
    }

    #[test]
    fn values_are_decoded() {
        let params = parse("q=caf%C3%A9+noir&limit=5&product_id=a&product_id=b").unwrap();
        assert_eq!(params.get("q"), Some("café noir"));
        assert_eq!(params.limit(), Ok(5));
        assert_eq!(params.all("product_id").collect::<Vec<_>>(), ["a", "b"]);
    }

    // proves: SEC-10
    #[test]
    fn unknown_repeated_and_broken_parameters_are_refused() {
        for raw in [
            "x=1",
            "Q=1",
            "q=1&q=2",
            "q=%",
            "q=%4",
            "q=%zz",
            "q=%FF",
            "q=%00",
            "%ff=1",
            "=1",
            "limit=1&limit=1",
        ] {
            assert_eq!(parse(raw).map_err(|p| p.status), Err(400), "{raw}");
        }
    }

    #[test]
    fn limits_are_one_to_a_hundred() {
        assert_eq!(parse("").unwrap().limit(), Ok(20));
        assert_eq!(parse("limit=100").unwrap().limit(), Ok(100));
        for text in ["0", "101", "-1", "+5", "", "1.5", "1e1", " 1", "99999999999999999999999"] {
            let params = Params(vec![("limit".into(), text.into())]);
            assert!(params.limit().is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_exact_in_every_json_reader() {
        assert_eq!(parse("min_price=9007199254740991").unwrap().amount("min_price"), Ok(Some(MAX_AMOUNT)));
        for raw in
            ["min_price=9007199254740992", "min_price=-1", "min_price=1.5", "min_price=", "min_price=ten"]
        {
            assert!(parse(raw).unwrap().amount("min_price").is_err(), "{raw}");
        }
    }

    // proves: SEC-4
    #[test]
    fn a_list_is_the_same_however_its_ids_are_written() {
        let parse = |id: &str| Params::parse(Some(&format!("correlation_id={id}")), &["correlation_id"], &[]);
        let id = "0190b5a4-7e1c-7c3a-8d52-0242ac120002";
        for spelling in
            [id.to_uppercase(), id.replace('-', ""), format!("urn:uuid:{id}"), format!("%7B{id}%7D")]
        {
            assert_eq!(parse(&spelling).unwrap().filters(), parse(id).unwrap().filters(), "{spelling}");
        }
        for text in ["x", "", &format!("{id}%20"), &id[1..]] {
            assert!(parse(text).unwrap().uuid("correlation_id").is_err(), "{text}");
        }
    }

    #[test]
    fn filters_leave_limit_and_cursor_out_and_ignore_their_order() {
        let one = parse("sort=name&limit=5&q=a&cursor=x").unwrap();
        let other = parse("q=a&sort=name").unwrap();
        assert_eq!(one.filters(), other.filters());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(raw in "\\PC{0,60}", name in "limit|q|min_price|id|sort|product_id") {
            for raw in [raw.clone(), format!("{name}={raw}")] {
                if let Ok(params) = parse(&raw) {
                    let _ = (params.limit(), params.amount("min_price"), params.uuid("id"), params.text("q"));
                    let _ = (params.choice("sort", &[("name", 1)]), params.filters(), params.cursor());
                }
            }
        }

        #[test]
        fn encoded_text_comes_back(text in "[^\\x00]{0,40}") {
            let encoded: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
            prop_assert_eq!(decode(&encoded), Some(text));
        }
    }
}
