//! Questions about rows, without naming a database: rows of one table that meet conditions, in an order, from a place on, with the rows
//! that belong to them. A view is what a row means; it is built once, beside the mapping that writes the row.

use std::fmt::Display;
use std::str::FromStr;

use domain::Timestamp;
use domain::money::{Currency, Money};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use uuid::Uuid;

use super::read_models::{ReadError, ReadModels};
use super::rows::{ColumnKind, Table, Value};

/// A question about the rows of a table. All its rows, and those that belong to them, are of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// The projection whose table it is.
    pub projection: &'static str,
    /// The table.
    pub table: &'static Table,
    /// All of them hold.
    pub conditions: Vec<Condition>,
    /// Rows of other tables that come along, by their place here.
    pub children: &'static [Children],
    /// The order of the rows; it ends in what tells any two rows apart.
    pub order: Vec<(&'static str, Direction)>,
    /// Only rows behind the place that has these values in the columns of `order`.
    pub after: Option<Vec<Value>>,
    /// At most so many rows.
    pub limit: Option<usize>,
}

/// What a row must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The column has this value.
    Is(&'static str, Value),
    /// The column has one of these values.
    In(&'static str, Vec<Value>),
    /// The column has this value or a greater one.
    AtLeast(&'static str, Value),
    /// The column has this value or a smaller one.
    AtMost(&'static str, Value),
    /// The group has seen its first event.
    Begun(&'static str),
}

/// Where an order begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// With the smallest value.
    Ascending,
    /// With the greatest value.
    Descending,
}

/// The rows of another table whose key begins with the key of the row that they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Children {
    /// Their table, of the same projection.
    pub table: &'static Table,
    /// Their order, ascending.
    pub order: &'static [&'static str],
}

impl Select {
    /// The rows of a view that a tenant has.
    #[must_use]
    pub fn of<V: View>(tenant: &str) -> Self {
        let begun = V::BEGUN.map(Condition::Begun);
        let tenant = Condition::Is("tenant", Value::Text(tenant.to_owned()));
        Self {
            projection: V::PROJECTION,
            table: V::TABLE,
            conditions: [tenant].into_iter().chain(begun).collect(),
            children: V::CHILDREN,
            order: Vec::new(),
            after: None,
            limit: None,
        }
    }

    /// Adds a condition.
    #[must_use]
    pub fn and(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Adds a condition if there is a value for it.
    #[must_use]
    pub fn and_some(self, column: &'static str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.and(Condition::Is(column, value)),
            None => self,
        }
    }

    /// Adds the column that rows are sorted by next.
    #[must_use]
    pub fn by(mut self, column: &'static str, direction: Direction) -> Self {
        self.order.push((column, direction));
        self
    }

    /// The page of a list that is called `list`, and one row more, which tells whether there is another page.
    ///
    /// # Errors
    /// [`ReadError::BadCursor`] when the page goes on with another list.
    fn page(self, list: &str, page: &Page) -> Result<Self, ReadError> {
        let after = page.after.as_deref().map(|cursor| self.place(list, cursor)).transpose()?;
        Ok(Self { after, limit: Some(page.limit + 1), ..self })
    }

    /// The place that a cursor of this list names.
    fn place(&self, list: &str, cursor: &str) -> Result<Vec<Value>, ReadError> {
        let kind = |(column, _): &(&'static str, Direction)| self.table.column(column).map(|(_, kind)| kind);
        let kinds: Vec<_> = self.order.iter().map(kind).collect();
        read_place(list, cursor, &kinds)
    }

    /// The cursor that goes on behind a row.
    fn cursor(&self, list: &str, row: &Row) -> Result<String, ReadError> {
        let place = self.order.iter().map(|(column, _)| row.value(column).cloned());
        Ok(place_text(list, &place.collect::<Result<Vec<_>, _>>()?))
    }
}

/// The text of a place in a list.
pub(super) fn place_text(list: &str, place: &[Value]) -> String {
    serde_json::json!([list, place.iter().map(to_json).collect::<Vec<_>>()]).to_string()
}

/// Reads the text of a place in a list that is sorted by values of such kinds.
pub(super) fn read_place(
    list: &str,
    text: &str,
    kinds: &[Option<ColumnKind>],
) -> Result<Vec<Value>, ReadError> {
    let (of, place): (String, Vec<Json>) = serde_json::from_str(text).map_err(|_| ReadError::BadCursor)?;
    if of != list || place.len() != kinds.len() {
        return Err(ReadError::BadCursor);
    }
    let value = |(json, kind): (&Json, &Option<ColumnKind>)| {
        kind.and_then(|kind| from_json(json, kind)).ok_or(ReadError::BadCursor)
    };
    place.iter().zip(kinds).map(value).collect()
}

/// A value in a cursor.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Text(text) | Value::Json(text) => text.as_str().into(),
        Value::Int(n) => (*n).into(),
        Value::Bool(b) => (*b).into(),
        Value::Uuid(id) => id.to_string().into(),
        Value::Time(at) => at.timestamp_micros().into(),
    }
}

fn from_json(json: &Json, kind: ColumnKind) -> Option<Value> {
    Some(match kind {
        ColumnKind::Text => Value::Text(json.as_str()?.to_owned()),
        ColumnKind::Json => Value::Json(json.as_str()?.to_owned()),
        ColumnKind::Int => Value::Int(json.as_i64()?),
        ColumnKind::Bool => Value::Bool(json.as_bool()?),
        ColumnKind::Uuid => Value::Uuid(json.as_str()?.parse().ok()?),
        ColumnKind::Time => Value::Time(Timestamp::from_timestamp_micros(json.as_i64()?)?),
    })
}

/// A row that a question found, with the rows that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    table: &'static Table,
    /// In the order of [`Table::columns`].
    values: Vec<Value>,
    /// In the order of [`Select::children`].
    children: Vec<Vec<Row>>,
}

/// A row doesn't hold what its view expects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}.{column}: {reason}")]
pub struct Unreadable {
    table: &'static str,
    column: String,
    reason: String,
}

impl From<Unreadable> for ReadError {
    fn from(error: Unreadable) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Row {
    /// A row of these values, in the order of [`Table::columns`], and of what belongs to it, in the order of [`Select::children`].
    #[must_use]
    pub fn new(table: &'static Table, values: Vec<Value>, children: Vec<Vec<Self>>) -> Self {
        Self { table, values, children }
    }

    /// The rows of another table that belong to it.
    #[must_use]
    pub fn children(&self, place: usize) -> &[Self] {
        self.children.get(place).map_or(&[], Vec::as_slice)
    }

    fn unreadable(&self, column: &str, reason: impl Display) -> Unreadable {
        Unreadable { table: self.table.name, column: column.to_owned(), reason: reason.to_string() }
    }

    /// The value of a column.
    ///
    /// # Errors
    /// When the table has no such column; here and below, when it holds something else.
    pub fn value(&self, column: &str) -> Result<&Value, Unreadable> {
        let place = self.table.column(column);
        place.and_then(|(at, _)| self.values.get(at)).ok_or_else(|| self.unreadable(column, "no such column"))
    }

    fn expect<'a, T>(
        &'a self,
        column: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Unreadable> {
        let value = self.value(column)?;
        read(value).ok_or_else(|| match value {
            Value::Null => self.unreadable(column, "no value"),
            _ => self.unreadable(column, "a value of another kind"),
        })
    }

    /// A UUID.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn uuid(&self, column: &str) -> Result<Uuid, Unreadable> {
        self.expect(column, |value| if let Value::Uuid(id) = value { Some(*id) } else { None })
    }

    /// A UUID, if there is one.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn uuid_or_none(&self, column: &str) -> Result<Option<Uuid>, Unreadable> {
        if self.value(column)? == &Value::Null { Ok(None) } else { self.uuid(column).map(Some) }
    }

    /// A text.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn text(&self, column: &str) -> Result<&str, Unreadable> {
        self.expect(column, |value| if let Value::Text(text) = value { Some(text.as_str()) } else { None })
    }

    /// A text, if there is one.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn text_or_none(&self, column: &str) -> Result<Option<&str>, Unreadable> {
        if self.value(column)? == &Value::Null { Ok(None) } else { self.text(column).map(Some) }
    }

    /// A text that has a typed form.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, Unreadable> {
        self.text(column)?.parse().map_err(|error| self.unreadable(column, error))
    }

    /// A text that has a typed form, if there is one.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn parsed_or_none<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Option<T>, Unreadable> {
        if self.value(column)? == &Value::Null { Ok(None) } else { self.parsed(column).map(Some) }
    }

    /// A number of a type that may be narrower than the column.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn number<T: TryFrom<i64, Error: Display>>(&self, column: &str) -> Result<T, Unreadable> {
        let n = self.expect(column, |value| if let Value::Int(n) = value { Some(*n) } else { None })?;
        T::try_from(n).map_err(|error| self.unreadable(column, error))
    }

    /// The version of the stream that a group shows; 0 before its first event.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn version(&self, group: &str) -> Result<u64, Unreadable> {
        self.number(&format!("{group}_version"))
    }

    /// True or false.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn is(&self, column: &str) -> Result<bool, Unreadable> {
        self.expect(column, |value| if let Value::Bool(b) = value { Some(*b) } else { None })
    }

    /// An instant.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn time(&self, column: &str) -> Result<Timestamp, Unreadable> {
        self.expect(column, |value| if let Value::Time(at) = value { Some(*at) } else { None })
    }

    /// JSON, as its text.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn json_text(&self, column: &str) -> Result<&str, Unreadable> {
        self.expect(column, |value| if let Value::Json(text) = value { Some(text.as_str()) } else { None })
    }

    /// JSON of a known shape.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, Unreadable> {
        serde_json::from_str(self.json_text(column)?).map_err(|error| self.unreadable(column, error))
    }

    /// An amount in the currency that the row's column `currency` names.
    ///
    /// # Errors
    /// See [`value`](Self::value).
    pub fn money(&self, column: &str) -> Result<Money, Unreadable> {
        Ok(Money::new(self.number(column)?, self.parsed::<Currency>("currency")?))
    }
}

/// What a row means.
pub trait View: Sized {
    /// The projection whose rows it is made of.
    const PROJECTION: &'static str;
    /// The table.
    const TABLE: &'static Table;
    /// Rows of other tables that it needs.
    const CHILDREN: &'static [Children] = &[];
    /// The group without whose first event there is nothing to see yet.
    const BEGUN: Option<&'static str> = None;

    /// Reads a row.
    ///
    /// # Errors
    /// When the row doesn't hold what is expected.
    fn of_row(row: &Row) -> Result<Self, Unreadable>;
}

/// A page of a list: what comes after the row that `after` names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The place of the last row of the page before; opaque to the caller, made by [`Listed::next`].
    pub after: Option<String>,
    /// 1 to 100 rows.
    pub limit: usize,
}

/// A page's rows and where the next page starts; `None` at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// [`Page::after`] of the next page.
    pub next: Option<String>,
}

/// The first row of a question, as a view.
///
/// # Errors
/// See [`ReadModels::select`]; also when a row can't be read. Here and below.
pub async fn first<V: View>(
    read: &(impl ReadModels + ?Sized),
    select: Select,
) -> Result<Option<V>, ReadError> {
    let rows = read.select(&Select { limit: Some(1), ..select }).await?;
    Ok(rows.first().map(V::of_row).transpose()?)
}

/// All rows of a question, as views.
///
/// # Errors
/// See [`first`].
pub async fn all<V: View>(read: &(impl ReadModels + ?Sized), select: Select) -> Result<Vec<V>, ReadError> {
    let rows = read.select(&select).await?;
    Ok(rows.iter().map(V::of_row).collect::<Result<_, _>>()?)
}

/// A page of a list that is called `list`.
///
/// # Errors
/// [`ReadError::BadCursor`] when the page goes on with another list; else see [`first`].
pub async fn list<V: View>(
    read: &(impl ReadModels + ?Sized),
    list: &str,
    select: Select,
    page: &Page,
) -> Result<Listed<V>, ReadError> {
    let select = select.page(list, page)?;
    let mut rows = read.select(&select).await?;
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let next = match rows.last().filter(|_| more) {
        Some(last) => Some(select.cursor(list, last)?),
        None => None,
    };
    Ok(Listed { items: rows.iter().map(V::of_row).collect::<Result<_, _>>()?, next })
}

#[cfg(test)]
mod tests {
    use super::Direction::{Ascending, Descending};
    use super::*;
    use crate::engine::mapping::{CREATED_AT, TENANT};
    use crate::engine::rows::{Group, col};

    static NOTES: Table = Table {
        name: "notes",
        about: "One row per note.",
        key: &[TENANT, col("note_id", ColumnKind::Uuid, "The note")],
        groups: &[Group {
            name: "note",
            source: "note",
            columns: &[
                col("title", ColumnKind::Text, "Its title"),
                col("stars", ColumnKind::Int, "How good it is"),
                CREATED_AT,
            ],
        }],
        indexes: &[],
    };

    struct Note;

    impl View for Note {
        const PROJECTION: &'static str = "notes";
        const TABLE: &'static Table = &NOTES;
        const BEGUN: Option<&'static str> = Some("note");

        fn of_row(_row: &Row) -> Result<Self, Unreadable> {
            Ok(Self)
        }
    }

    fn row() -> Row {
        let at = Timestamp::from_timestamp_micros(1_735_689_600_000_001).unwrap();
        let values = vec![
            Value::Text("default".into()),
            Value::Uuid(Uuid::from_u128(7)),
            Value::Int(3),
            Value::Text("a\"b".into()),
            Value::Null,
            Value::Time(at),
        ];
        Row::new(&NOTES, values, vec![])
    }

    fn select() -> Select {
        Select::of::<Note>("default")
            .by("title", Descending)
            .by("created_at", Ascending)
            .by("note_id", Ascending)
    }

    // proves: QRY-2
    #[test]
    fn a_cursor_names_the_place_of_its_row_and_belongs_to_its_list() {
        let cursor = select().cursor("notes-title", &row()).unwrap();
        let page = |list: &str, cursor: &str| {
            select().page(list, &Page { after: Some(cursor.to_owned()), limit: 10 })
        };
        let found = page("notes-title", &cursor).unwrap();
        let place = ["title", "created_at", "note_id"].map(|column| row().value(column).unwrap().clone());
        assert_eq!((found.after, found.limit), (Some(place.to_vec()), Some(11)));
        for (list, cursor) in [
            ("notes", cursor.as_str()),
            ("notes-title", ""),
            ("notes-title", "[]"),
            ("notes-title", r#"["notes-title",["a",1]]"#),
            ("notes-title", r#"["notes-title",["a",1,"no id"]]"#),
            ("notes-title", r#"["notes-title",[1,1,"00000000-0000-0000-0000-000000000007"]]"#),
            (
                "notes-title",
                r#"["notes-title",["a",9223372036854775807,"00000000-0000-0000-0000-000000000007"]]"#,
            ),
        ] {
            assert_eq!(page(list, cursor).unwrap_err(), ReadError::BadCursor, "{list} {cursor}");
        }
    }

    #[test]
    fn values_are_read_by_name_and_kind() {
        let row = row();
        assert_eq!(row.text("title").unwrap(), "a\"b");
        assert_eq!(row.version("note").unwrap(), 3);
        assert_eq!(row.text_or_none("stars"), Ok(None));
        for unreadable in [
            row.number::<u8>("stars").unwrap_err(),
            row.uuid("title").unwrap_err(),
            row.text("novel").unwrap_err(),
            row.parsed::<Uuid>("title").unwrap_err(),
        ] {
            assert!(unreadable.to_string().starts_with("notes."), "{unreadable}");
        }
    }

    #[test]
    fn a_question_is_of_a_tenant_and_of_what_has_begun() {
        let tenant = Condition::Is("tenant", Value::Text("default".into()));
        assert_eq!(select().conditions, [tenant, Condition::Begun("note")]);
    }
}
