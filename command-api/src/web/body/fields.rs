//! The fields of a JSON object and the faults found in them.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::Rule;
use crate::web::problem::{FieldError, Problem};

/// The most faults that an answer lists.
const MAX_FAULTS: usize = 100;

/// What is wrong with a body.
#[derive(Debug, Default)]
pub struct Faults {
    errors: Vec<FieldError>,
    card: bool,
}

impl Faults {
    /// Notes a fault of the value at a JSON pointer.
    pub(super) fn note(&mut self, at: &str, detail: impl Into<String>) {
        if self.errors.len() < MAX_FAULTS {
            self.errors.push(FieldError { pointer: at.to_owned(), detail: detail.into() });
        }
    }

    /// Notes that the value looks like a card's number.
    pub(super) fn note_card(&mut self, at: &str) {
        self.card = true;
        self.note(at, "looks like a card number");
    }

    /// Notes a fault of a value that nothing is made of.
    pub(super) fn refuse<T>(&mut self, at: &str, detail: impl Into<String>) -> Option<T> {
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
    at: &'a str,
    taken: Vec<&'static str>,
    faults: &'a mut Faults,
}

impl Fields<'_> {
    /// Takes a field by its rule; `None` only after a fault was noted.
    pub fn take<T>(&mut self, name: &'static str, rule: Rule<T>) -> Option<T> {
        self.taken.push(name);
        let at = pointer(self.at, name);
        match self.object.get(name) {
            Some(value) => rule.read(value, &at, self.faults),
            None => rule.missing.or_else(|| self.faults.refuse(&at, "is required")),
        }
    }
}

/// Reads the object at a JSON pointer.
pub(super) fn object_of<T>(
    value: &Value,
    at: &str,
    faults: &mut Faults,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    let Value::Object(object) = value else { return faults.refuse(at, "must be an object") };
    let mut fields = Fields { object, at, taken: Vec::new(), faults };
    let read = read(&mut fields);
    for name in object.keys().filter(|name| !fields.taken.contains(&name.as_str())) {
        fields.faults.note(&pointer(at, name), "is not a field of this operation");
    }
    read
}

/// A JSON pointer one step further (RFC 6901, 3); the step is cut where it is absurdly long.
pub(super) fn pointer(at: &str, step: &str) -> String {
    let step: String = step.chars().take(100).collect();
    format!("{at}/{}", step.replace('~', "~0").replace('/', "~1"))
}
