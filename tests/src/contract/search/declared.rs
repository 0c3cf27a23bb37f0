//! An index of anything: what is declared of it is all that a backend knows.

use std::sync::Arc;

use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::ports::log::StoreInfo;
use domain::upcast::DecodeError;
use projections::engine::index::{AskedBy, Form, SearchIndex};
use projections::engine::mapping::TENANT;
use projections::engine::model::Projection;
use projections::engine::query::{Condition, Direction, Page};
use projections::engine::rows::{ColumnKind, Group, RowChange, Table, Value, col};
use projections::engine::search::Search;
use projections::engine::store::Redrive;
use uuid::Uuid;

use super::SearchFactory;

static CARDS: Table = Table {
    name: "search_cards",
    about: "One document per card.",
    key: &[TENANT, col("card_id", ColumnKind::Uuid, "The card")],
    groups: &[Group {
        name: "card",
        source: "card",
        columns: &[
            col("title", ColumnKind::Text, "Its title"),
            col("title_words", ColumnKind::Text, "Words of the title"),
            col("stars", ColumnKind::Int, "How good it is"),
            col("lent", ColumnKind::Bool, "Somebody else has it"),
            col("printed_at", ColumnKind::Time, "When it was printed"),
            col("notes", ColumnKind::Json, "Notes on it"),
        ],
    }],
    indexes: &[],
};

const NAME: &str = "search-cards";

static INDEX: SearchIndex = SearchIndex {
    name: "cards",
    document: "card",
    projection: NAME,
    table: &CARDS,
    asked_by: AskedBy::Queries,
    only_grows: false,
    forms: &[("title_words", Form::Words(2.0)), ("notes", Form::Objects(&[("by", Form::Keyword)]))],
    gone: None,
    filters: &["card_id", "title", "stars", "lent", "printed_at"],
    orders: &["title", "stars", "lent", "printed_at", "card_id"],
    facets: &["title"],
};

struct Cards;

impl Projection for Cards {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&CARDS] }
    }

    fn index(&self) -> Option<&'static SearchIndex> {
        Some(&INDEX)
    }

    fn map(&self, _event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        Ok(vec![])
    }
}

/// (title, stars, lent, when it was printed, id)
type Card = (&'static str, i64, bool, i64, u128);

fn card(n: u128) -> Card {
    let (title, n64) = (["axe", "Äxe", "bow", "cup", ""][n as usize % 5], n as i64);
    (title, [-3, 0, 7][n as usize % 3], n.is_multiple_of(4), 1_700_000_000_000_000 + n64 % 6, n)
}

fn change((title, stars, lent, at, id): Card) -> RowChange {
    let set = vec![
        ("title", Value::Text(title.into())),
        ("title_words", Value::Text(format!("card {title}"))),
        ("stars", Value::Int(stars)),
        ("lent", Value::Bool(lent)),
        ("printed_at", Value::Time(Timestamp::from_timestamp_micros(at).unwrap())),
        ("notes", Value::Json(format!(r#"{{"by":"{stars}"}}"#))),
    ];
    let key = vec![Value::Text("default".into()), Value::Uuid(Uuid::from_u128(id))];
    RowChange { table: &CARDS, key, group: "card", version: 1, set }
}

/// Conditions, orders in both directions over values of every kind, pages and facets are those of the declaration.
// proves: CAT-2, CAT-3
pub async fn an_index_of_anything_is_asked_alike(factory: &dyn SearchFactory) {
    let backend = factory.fresh(&INDEX).await;
    let (store, projection) = (backend.store(), Arc::new(Cards) as Arc<dyn Projection>);
    store.prepare(&[projection], StoreInfo { id: Uuid::from_u128(1), shards: 4 }).await.unwrap();
    let cards: Vec<Card> = (0..47).map(card).collect();
    for some in cards.chunks(10) {
        let changes = some.iter().copied().map(change).collect();
        store.redrive(Redrive { projection: NAME, letters: vec![], changes }).await.unwrap();
    }
    let text = |text: &str| Value::Text(text.into());
    let at = |micros| Value::Time(Timestamp::from_timestamp_micros(micros).unwrap());
    let printed = 1_700_000_000_000_002;
    type Holds = fn(&Card) -> bool;
    let narrowed: [(Vec<Condition>, Holds); 6] = [
        (vec![], |_| true),
        (vec![Condition::In("title", vec![text("axe"), text("cup"), text("none")])], |card| {
            ["axe", "cup"].contains(&card.0)
        }),
        (vec![Condition::In("title", vec![])], |_| false),
        (
            vec![Condition::Is("lent", Value::Bool(true)), Condition::AtLeast("stars", Value::Int(0))],
            |card| card.2 && card.1 >= 0,
        ),
        (
            vec![Condition::AtMost("printed_at", at(printed)), Condition::AtLeast("stars", Value::Int(-3))],
            |card| card.3 <= 1_700_000_000_000_002,
        ),
        (vec![Condition::Is("card_id", Value::Uuid(Uuid::from_u128(8)))], |card| card.4 == 8),
    ];
    use Direction::{Ascending, Descending};
    let by_title = |a: &Card, b: &Card| b.0.cmp(a.0).then(a.1.cmp(&b.1)).then(b.4.cmp(&a.4));
    let by_time =
        |a: &Card, b: &Card| b.3.cmp(&a.3).then(a.2.cmp(&b.2)).then(b.1.cmp(&a.1)).then(a.4.cmp(&b.4));
    type Compares = fn(&Card, &Card) -> std::cmp::Ordering;
    let orders: [(Vec<(&'static str, Direction)>, Compares); 2] = [
        (vec![("title", Descending), ("stars", Ascending), ("card_id", Descending)], by_title),
        (
            vec![
                ("printed_at", Descending),
                ("lent", Ascending),
                ("stars", Descending),
                ("card_id", Ascending),
            ],
            by_time,
        ),
    ];
    for (conditions, holds) in &narrowed {
        for (order, compares) in &orders {
            let mut expected: Vec<Card> = cards.iter().copied().filter(holds).collect();
            expected.sort_by(compares);
            let mut search = Search {
                index: &INDEX,
                tenant: "default".into(),
                text: "card".into(),
                conditions: conditions.clone(),
                best_first: false,
                order: order.clone(),
                facets: INDEX.facets,
                list: "cards",
                page: Page { after: None, limit: 4 },
            };
            let mut found = Vec::new();
            loop {
                let answer = backend.search().search(&search).await.unwrap();
                assert_eq!(answer.total, expected.len() as u64, "{conditions:?}");
                assert_eq!(answer.facets[0].iter().map(|(_, count)| count).sum::<u64>(), answer.total);
                for row in &answer.rows {
                    let card = cards[row.uuid("card_id").unwrap().as_u128() as usize];
                    assert_eq!(
                        (row.text("title"), row.number("stars"), row.is("lent"), row.version("card")),
                        (Ok(card.0), Ok(card.1), Ok(card.2), Ok(1))
                    );
                    assert_eq!(row.json_text("notes").unwrap(), format!(r#"{{"by":"{}"}}"#, card.1));
                    found.push(card);
                }
                search.page.after = answer.next;
                if search.page.after.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected, "{conditions:?} {order:?}");
        }
    }
}
