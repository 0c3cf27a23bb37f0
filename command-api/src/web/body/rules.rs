//! What a field may be: one rule reads it from a body and describes it in the OpenAPI document.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use domain::money::{Currency, MAX_AMOUNT, Money};
use domain::text::card;
use domain::text::characters::shows_something;
use domain::text::identifier as identifiers;
use domain::uuids::any_spelling;
use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, SchemaFormat};
use utoipa::{Number, PartialSchema, ToSchema};
use uuid::Uuid;

use super::FromBody;
use super::fields::{At, Faults, object_of};

type Read<T> = dyn FnOnce(&Value, &At<'_>, &mut Faults) -> Option<T>;
type Describe = dyn FnOnce(&mut Schemas) -> RefOr<Schema>;
/// Schemas by name.
type Schemas = Vec<(String, RefOr<Schema>)>;

/// What a field may be, and what is made of it.
pub struct Rule<T> {
    read: Box<Read<T>>,
    describe: Box<Describe>,
    /// What a field that isn't there stands for, if it needn't be there.
    pub(super) missing: Option<T>,
}

impl<T> fmt::Debug for Rule<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").finish_non_exhaustive()
    }
}

impl<T: 'static> Rule<T> {
    fn new(
        read: impl FnOnce(&Value, &At<'_>, &mut Faults) -> Option<T> + 'static,
        describe: impl FnOnce(&mut Schemas) -> RefOr<Schema> + 'static,
    ) -> Self {
        Self { read: Box::new(read), describe: Box::new(describe), missing: None }
    }

    /// Makes something else of what was read, or refuses it with words. Before [`Self::optional`], which is lost by it.
    #[must_use]
    pub fn then<U: 'static, E: Display>(self, make: impl FnOnce(T) -> Result<U, E> + 'static) -> Rule<U> {
        debug_assert!(self.missing.is_none(), "said before what may be missing");
        let read = self.read;
        let read = move |value: &Value, at: &At<'_>, faults: &mut Faults| match make(read(value, at, faults)?)
        {
            Ok(made) => Some(made),
            Err(words) => faults.refuse(at, words.to_string()),
        };
        Rule { read: Box::new(read), describe: self.describe, missing: None }
    }

    /// Is described like this, where the rule alone doesn't say it.
    #[must_use]
    pub fn described(self, object: impl FnOnce() -> ObjectBuilder + 'static) -> Self {
        Self { describe: Box::new(|_| object().into()), ..self }
    }

    /// Has an example in the document.
    #[must_use]
    pub fn example(self, example: &'static str) -> Self {
        self.adding(|object| object.example = Some(example.into()))
    }

    /// Adds to the description of a plain value.
    fn adding(self, add: impl FnOnce(&mut Object) + 'static) -> Self {
        let describe = self.describe;
        let describe = move |schemas: &mut Schemas| {
            let mut schema = describe(schemas);
            match &mut schema {
                RefOr::T(Schema::Object(object)) => add(object),
                _ => debug_assert!(false, "only a plain value has room for more"),
            }
            schema
        };
        Self { describe: Box::new(describe), ..self }
    }

    /// May be missing.
    #[must_use]
    pub fn optional(self) -> Rule<Option<T>> {
        let read = self.read;
        let read = move |value: &Value, at: &At<'_>, faults: &mut Faults| read(value, at, faults).map(Some);
        Rule { read: Box::new(read), describe: self.describe, missing: Some(None) }
    }
}

impl<T> Rule<T> {
    pub(super) fn read(self, value: &Value, at: &At<'_>, faults: &mut Faults) -> Option<T> {
        (self.read)(value, at, faults)
    }
}

impl Rule<String> {
    /// May be missing, and stands for this then.
    #[must_use]
    pub fn or(self, default: &'static str) -> Self {
        let rule = self.adding(|object| object.default = Some(default.into()));
        Self { missing: Some(default.to_owned()), ..rule }
    }
}

/// What a text may look like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Line,
    Prose,
    Secret,
}

/// One line that shows something, of so many characters. No text but a secret may hold what looks like a card's number (SEC-7).
#[must_use]
pub fn line(length: RangeInclusive<usize>) -> Rule<String> {
    text(Text::Line, length)
}

/// Lines and tabs, of so many characters; may be blank.
#[must_use]
pub fn prose(length: RangeInclusive<usize>) -> Rule<String> {
    text(Text::Prose, length)
}

/// So many characters, taken as they are and never stored.
#[must_use]
pub fn secret(length: RangeInclusive<usize>) -> Rule<String> {
    text(Text::Secret, length)
}

fn text(kind: Text, length: RangeInclusive<usize>) -> Rule<String> {
    let (least, most) = (Some(*length.start()).filter(|least| *least > 0), Some(*length.end()));
    let read = move |value: &Value, at: &At<'_>, faults: &mut Faults| match checked_text(value, kind, &length)
    {
        Ok(text) if kind != Text::Secret && card::contains_number(text) => {
            faults.note_card(at);
            None
        }
        Ok(text) => Some(text.to_owned()),
        Err(detail) => faults.refuse(at, detail),
    };
    Rule::new(read, move |_| string().min_length(least).max_length(most).into())
}

/// The description of a text.
#[must_use]
pub fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// An identifier that people type, as it is shown; both forms have 1 to so many characters.
#[must_use]
pub fn identifier(most: usize) -> Rule<String> {
    line(1..=most).then(move |typed| checked_identifier(&typed, most))
}

/// An integer; `1.0` and `"1"` are none.
#[must_use]
pub fn integer<N>(range: RangeInclusive<N>) -> Rule<N>
where
    N: Copy + PartialOrd + Display + TryFrom<u64> + Into<Number> + PartialSchema + 'static,
{
    let (least, most) = (*range.start(), *range.end());
    let read = move |value: &Value, at: &At<'_>, faults: &mut Faults| match value
        .as_u64()
        .and_then(|number| N::try_from(number).ok())
        .filter(|n| range.contains(n))
    {
        Some(number) if card::contains_number(&number.to_string()) => {
            faults.note_card(at);
            None
        }
        Some(number) => Some(number),
        None => faults.refuse(at, format!("must be an integer from {least} to {most}")),
    };
    Rule::new(read, |_| N::schema()).adding(move |object| {
        object.minimum = Some(least.into());
        object.maximum = Some(most.into());
    })
}

/// A UUID, in any of its spellings.
#[must_use]
pub fn uuid() -> Rule<Uuid> {
    let read = |value: &Value, at: &At<'_>, faults: &mut Faults| {
        value.as_str().and_then(any_spelling).or_else(|| faults.refuse(at, "must be a uuid"))
    };
    Rule::new(read, |_| {
        let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
        string().format(Some(format)).into()
    })
}

/// Money above nothing.
#[must_use]
pub fn money() -> Rule<Money> {
    let currency = |value: &Value, at: &At<'_>, faults: &mut Faults| {
        let currency = value.as_str().and_then(|code| code.parse().ok());
        currency.or_else(|| {
            let known = Currency::ALL.map(Currency::code).join(", ");
            faults.refuse(at, format!("must be one of {known}"))
        })
    };
    let currency = Rule::new(currency, reference::<Currency>);
    let read = |value: &Value, at: &At<'_>, faults: &mut Faults| {
        object_of(value, at, faults, |fields| {
            let amount = fields.take("amount", integer(1..=MAX_AMOUNT.unsigned_abs()));
            let currency = fields.take("currency", currency);
            Some(Money::new(i64::try_from(amount?).ok()?, currency?))
        })
    };
    Rule::new(read, reference::<Money>)
}

/// One of a type's values, by its name of at most 40 characters.
#[must_use]
pub fn one_of<T: Copy + Display + ToSchema>(values: &'static [T]) -> Rule<T> {
    let named = move |name: String| {
        let found = values.iter().find(|value| value.to_string() == name);
        found.copied().ok_or_else(|| {
            let known: Vec<_> = values.iter().map(T::to_string).collect();
            format!("must be one of {}", known.join(", "))
        })
    };
    Rule { describe: Box::new(reference::<T>), ..line(1..=40).then(named) }
}

/// An object of its own fields.
#[must_use]
pub fn object<B: FromBody + ToSchema + 'static>() -> Rule<B> {
    let read = |value: &Value, at: &At<'_>, faults: &mut Faults| object_of(value, at, faults, B::from_fields);
    Rule::new(read, reference::<B>)
}

/// A list of so many objects.
#[must_use]
pub fn list<B: FromBody + ToSchema + 'static>(length: RangeInclusive<usize>) -> Rule<Vec<B>> {
    let (least, most) = (*length.start(), *length.end());
    let read = move |value: &Value, at: &At<'_>, faults: &mut Faults| {
        let Some(items) = value.as_array().filter(|items| length.contains(&items.len())) else {
            return faults.refuse(at, format!("must be a list of {least} to {most} objects"));
        };
        let items = items.iter().enumerate();
        // To the end, so that the faults of each are noted.
        let read: Vec<Option<B>> =
            items.map(|(i, item)| object_of(item, &At::Item(at, i), faults, B::from_fields)).collect();
        read.into_iter().collect()
    };
    Rule::new(read, move |schemas| {
        let items = ArrayBuilder::new().items(reference::<B>(schemas));
        items.min_items(Some(least)).max_items(Some(most)).into()
    })
}

/// An object of at most so many texts by identifier, each of at most so many characters; empty when it is missing.
#[must_use]
pub fn texts(most: usize, key: usize, value: usize) -> Rule<BTreeMap<String, String>> {
    let read = move |object: &Value, at: &At<'_>, faults: &mut Faults| {
        let Some(object) = object.as_object().filter(|object| object.len() <= most) else {
            return faults.refuse(at, format!("must be an object of at most {most} texts"));
        };
        let mut texts = BTreeMap::new();
        let mut names = BTreeSet::new();
        let before = faults.len();
        for (k, v) in object {
            let name = checked_text(&Value::from(k.as_str()), Text::Line, &(1..=key))
                .and_then(|typed| checked_identifier(typed, key));
            let within = At::Field(at, k);
            match &name {
                Err(detail) => faults.note(&within, format!("its name {detail}")),
                Ok(shown) if !names.insert(identifiers::normal(shown).unwrap_or_default()) => {
                    faults.note(&within, "its name is there already, in another spelling");
                }
                Ok(_) => {}
            }
            if card::contains_number(k) {
                faults.note_card(at);
                continue;
            }
            match checked_text(v, Text::Prose, &(0..=value)) {
                Ok(text) if card::contains_number(text) => faults.note_card(&within),
                Ok(text) => drop(texts.insert(name.unwrap_or_default(), text.to_owned())),
                Err(detail) => faults.note(&within, detail),
            }
        }
        (faults.len() == before).then_some(texts)
    };
    Rule { missing: Some(BTreeMap::new()), ..Rule::new(read, |_| BTreeMap::<String, String>::schema()) }
}

/// A reference to a type's schema, which is added to the others with all that it refers to.
fn reference<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
    Ref::from_schema_name(T::name()).into()
}

fn checked_text<'v>(value: &'v Value, kind: Text, length: &RangeInclusive<usize>) -> Result<&'v str, String> {
    let text = value.as_str().ok_or("must be a text")?;
    let chars = text.chars().take(length.end() + 1).count();
    if !length.contains(&chars) {
        return Err(format!("must have {} to {} characters", length.start(), length.end()));
    }
    let forbidden = |c: char| match kind {
        Text::Line => c.is_control(),
        Text::Prose => c.is_control() && !matches!(c, '\n' | '\r' | '\t'),
        Text::Secret => c == '\0',
    };
    if text.contains(forbidden) {
        return Err("has control characters".to_owned());
    }
    if kind == Text::Line && !shows_something(text) {
        return Err("must not be blank".to_owned());
    }
    Ok(text)
}

/// The identifier as it is shown.
fn checked_identifier(typed: &str, most: usize) -> Result<String, String> {
    let normal = identifiers::normal(typed).map_err(|e| e.to_string())?;
    // Compatibility forms may unfold to many characters.
    if normal.chars().count() > most {
        return Err(format!("must have 1 to {most} characters"));
    }
    identifiers::shown(typed).map_err(|e| e.to_string())
}

/// A body as the OpenAPI document describes it, and the schemas that it refers to.
pub struct Shape {
    object: ObjectBuilder,
    /// The schemas that it refers to, by name.
    pub refers_to: Schemas,
}

impl Shape {
    /// An object of no fields yet, described by lines of documentation.
    #[must_use]
    pub fn new(docs: &[&str]) -> Self {
        let closed = AdditionalProperties::FreeForm(false);
        let object = ObjectBuilder::new().description(Some(joined(docs))).additional_properties(Some(closed));
        Self { object, refers_to: Vec::new() }
    }

    /// One field more.
    #[must_use]
    pub fn field<T>(mut self, name: &str, rule: Rule<T>, docs: &[&str]) -> Self {
        let mut schema = (rule.describe)(&mut self.refers_to);
        match &mut schema {
            RefOr::Ref(to) => to.description = joined(docs),
            RefOr::T(Schema::Array(array)) => array.description = Some(joined(docs)),
            RefOr::T(Schema::Object(object)) => object.description = Some(joined(docs)),
            RefOr::T(_) => {}
        }
        let object = self.object.property(name, schema);
        Self { object: if rule.missing.is_none() { object.required(name) } else { object }, ..self }
    }
}

impl From<Shape> for RefOr<Schema> {
    fn from(shape: Shape) -> Self {
        shape.object.into()
    }
}

fn joined(docs: &[&str]) -> String {
    docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

/// Declares what an operation's body is: a struct whose every field has a [`Rule`], by which it is read and described.
///
/// ```
/// use command_api::web::body::{integer, line};
///
/// command_api::body! {
///     /// A note to pin.
///     pub struct NoteInput {
///         /// What it says.
///         text: String = line(1..=500),
///         /// How often.
///         copies: u8 = integer(1..=5),
///     }
/// }
/// ```
#[macro_export]
macro_rules! body {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $body:ident {
            $($(#[doc = $docs:literal])+ $field_vis:vis $field:ident: $type:ty = $rule:expr),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        $vis struct $body {
            $($(#[doc = $docs])+ $field_vis $field: $type),+
        }

        impl $body {
            fn shape() -> $crate::web::body::Shape {
                $crate::web::body::Shape::new(&[$($about),+])
                    $(.field::<$type>(stringify!($field), $rule, &[$($docs),+]))+
            }
        }

        impl $crate::web::body::FromBody for $body {
            fn from_fields(fields: &mut $crate::web::body::Fields<'_>) -> Option<Self> {
                $(let $field: Option<$type> = fields.take(stringify!($field), $rule);)+
                Some(Self { $($field: $field?),+ })
            }
        }

        impl ::utoipa::PartialSchema for $body {
            fn schema() -> ::utoipa::openapi::RefOr<::utoipa::openapi::Schema> {
                Self::shape().into()
            }
        }

        impl ::utoipa::ToSchema for $body {
            fn schemas(
                schemas: &mut Vec<(String, ::utoipa::openapi::RefOr<::utoipa::openapi::Schema>)>,
            ) {
                schemas.extend(Self::shape().refers_to);
            }
        }
    };
}
