//! The fields of a JSON object and the faults found in them.

use std::fmt;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::Rule;
use crate::web::problem::{FieldError, Problem};

/// The most faults that an answer lists.
const MAX_FAULTS: usize = 100;

/// Where a value stands in a body. It is written out, as a JSON pointer (RFC 6901, 3), only where there is a fault.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    /// It is the whole body.
    Body,
    /// In the field of an object.
    Field(&'a At<'a>, &'a str),
    /// In a list, counted from 0.
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => Ok(()),
            Self::Field(above, name) => {
                // Cut where it is absurdly long.
                let step: String = name.chars().take(100).collect();
                write!(f, "{above}/{}", step.replace('~', "~0").replace('/', "~1"))
            }
            Self::Item(above, n) => write!(f, "{above}/{n}"),
        }
    }
}

/// What is wrong with a body.
#[derive(Debug, Default)]
pub struct Faults {
    errors: Vec<FieldError>,
    card: bool,
}

impl Faults {
    /// Notes a fault of a value.
    pub(super) fn note(&mut self, at: &At<'_>, detail: impl Into<String>) {
        if self.errors.len() < MAX_FAULTS {
            self.errors.push(FieldError { pointer: at.to_string(), detail: detail.into() });
        }
    }

    /// Notes that the value looks like a card's number.
    pub(super) fn note_card(&mut self, at: &At<'_>) {
        self.card = true;
        self.note(at, "looks like a card number");
    }

    /// Notes a fault of a value that nothing is made of.
    pub(super) fn refuse<T>(&mut self, at: &At<'_>, detail: impl Into<String>) -> Option<T> {
        self.note(at, detail);
        None
    }

    pub(super) fn len(&self) -> usize {
        self.errors.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn into_problem(self) -> Problem {
        if !self.card {
            return Problem::invalid(self.errors);
        }
        Problem { errors: self.errors, ..Problem::card_number(StatusCode::UNPROCESSABLE_ENTITY) }
    }
}

/// The fields of one object. Each is taken once; whatever is left at the end is refused as unknown.
#[derive(Debug)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    at: &'a At<'a>,
    taken: Vec<&'static str>,
    faults: &'a mut Faults,
}

impl Fields<'_> {
    /// Takes a field by its rule; `None` only after a fault was noted.
    pub fn take<T>(&mut self, name: &'static str, rule: Rule<T>) -> Option<T> {
        self.taken.push(name);
        let at = At::Field(self.at, name);
        match self.object.get(name) {
            Some(value) => rule.read(value, &at, self.faults),
            None => rule.missing.or_else(|| self.faults.refuse(&at, "is required")),
        }
    }
}

/// Reads an object.
pub(super) fn object_of<T>(
    value: &Value,
    at: &At<'_>,
    faults: &mut Faults,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    let Value::Object(object) = value else { return faults.refuse(at, "must be an object") };
    let mut fields = Fields { object, at, taken: Vec::new(), faults };
    let read = read(&mut fields);
    for name in object.keys().filter(|name| !fields.taken.contains(&name.as_str())) {
        fields.faults.note(&At::Field(at, name), "is not a field of this operation");
    }
    read
}
