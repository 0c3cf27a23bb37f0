//! Keyset cursors of lists that are sorted by creation: where a page ends, as time and identity of its last row.

use domain::Timestamp;
use projections::engine::read_models::ReadError;
use uuid::Uuid;

/// Stands in a cursor where a list has a value that it is sorted by before (created, id): these lists have none.
const NO_VALUE: &str = "None";

/// The last row of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyset {
    /// When it was created, microseconds since 1970.
    pub(crate) created: i64,
    /// Its id.
    pub(crate) id: Uuid,
}

impl Keyset {
    /// The end of a page whose last row was created then.
    pub(crate) fn created(created: Timestamp, id: Uuid) -> Self {
        Self { created: created.timestamp_micros(), id }
    }

    /// When the row was created, as an instant.
    pub(crate) fn created_at(&self) -> Result<Timestamp, ReadError> {
        Timestamp::from_timestamp_micros(self.created).ok_or(ReadError::BadCursor)
    }

    /// The text form, bound to the list's order.
    pub(crate) fn to_text(&self, order: &str) -> String {
        serde_json::json!([order, NO_VALUE, self.created, self.id]).to_string()
    }

    /// Reads the text form of a cursor of the same order.
    pub(crate) fn parse(text: &str, order: &str) -> Result<Self, ReadError> {
        let (found, value, created, id): (String, String, i64, Uuid) =
            serde_json::from_str(text).map_err(|_| ReadError::BadCursor)?;
        if found != order || value != NO_VALUE {
            return Err(ReadError::BadCursor);
        }
        Ok(Self { created, id })
    }

    /// Reads the cursor of a page, if it has one.
    pub(crate) fn after(after: Option<&str>, order: &str) -> Result<Option<Self>, ReadError> {
        after.map(|text| Self::parse(text, order)).transpose()
    }
}

/// Cuts what was read with one row more than the page may have; answers the cursor of the page after it, when there is one.
pub(crate) fn cut<T>(
    rows: &mut Vec<T>,
    limit: usize,
    order: &str,
    end: impl FnOnce(&T) -> Keyset,
) -> Option<String> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more).map(|last| end(last).to_text(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_are_bound_to_their_order() {
        let end = Keyset { created: -5, id: Uuid::now_v7() };
        let text = end.to_text("name");
        assert_eq!(Keyset::parse(&text, "name"), Ok(end));
        for (text, order) in
            [(text.as_str(), "price"), ("", "name"), ("[]", "name"), ("{}", "name"), ("[\"name\",1]", "name")]
        {
            assert_eq!(Keyset::parse(text, order), Err(ReadError::BadCursor), "{text}");
        }
        // A cursor of a list that is sorted by more.
        for value in [r#"{"Number":1}"#, r#"{"Text":"a"}"#, "\"x\"", "null"] {
            let other = text.replace("\"None\"", value);
            assert_ne!(other, text);
            assert_eq!(Keyset::parse(&other, "name"), Err(ReadError::BadCursor), "{other}");
        }
    }
}
