use proptest::prelude::*;

use super::*;
use crate::aggregate::EventSet;
use crate::testing::{Properties, answer_of, eur, given, usd};

fn details(name: &str) -> ProductDetails {
    ProductDetails {
        sku: "MUG-1".into(),
        name: name.into(),
        description: "holds tea".into(),
        category: "kitchen".into(),
        attributes: BTreeMap::from([("colour".to_owned(), "blue".to_owned())]),
    }
}

fn create(name: &str, price: Money) -> ProductCommand {
    ProductCommand::Create { details: details(name), price }
}

fn update(name: &str, price: Money) -> ProductCommand {
    ProductCommand::Update { details: details(name), price }
}

fn created() -> ProductEvent {
    ProductEvent::Created(ProductCreated { details: details("Mug"), price: usd(1999) })
}

fn updated(name: &str) -> ProductEvent {
    ProductEvent::Updated(ProductUpdated { details: details(name) })
}

fn price_changed(old_price: Money, price: Money) -> ProductEvent {
    ProductEvent::PriceChanged(ProductPriceChanged { old_price, price })
}

fn discontinued() -> ProductEvent {
    ProductEvent::Discontinued(ProductDiscontinued {})
}

// proves: CAT-1
#[test]
fn a_product_is_created_once() {
    given::<Product>(&[]).when(create("Mug", usd(1999))).then_expect_events(vec![created()]);
    given::<Product>(&[created()]).when(create("Mug", usd(1999))).then_expect_error(ProductError::Exists);
    given::<Product>(&[created(), discontinued()])
        .when(create("Mug", usd(1999)))
        .then_expect_error(ProductError::Exists);
}

// proves: CAT-1
#[test]
fn an_update_records_only_what_differs() {
    let given = || given::<Product>(&[created()]);
    given().when(update("Mug", usd(1999))).then_expect_events(vec![]);
    given().when(update("Cup", usd(1999))).then_expect_events(vec![updated("Cup")]);
    given().when(update("Mug", usd(5))).then_expect_events(vec![price_changed(usd(1999), usd(5))]);
    given()
        .when(update("Cup", eur(1999)))
        .then_expect_events(vec![updated("Cup"), price_changed(usd(1999), eur(1999))]);
}

// proves: CAT-1
#[test]
fn what_is_missing_or_discontinued_stays_as_it_is() {
    given::<Product>(&[]).when(update("Cup", usd(5))).then_expect_error(ProductError::NotFound);
    given::<Product>(&[]).when(ProductCommand::Discontinue).then_expect_error(ProductError::NotFound);
    given::<Product>(&[created()]).when(ProductCommand::Discontinue).then_expect_events(vec![discontinued()]);
    let gone = [created(), discontinued()];
    given::<Product>(&gone).when(update("Cup", usd(5))).then_expect_error(ProductError::Discontinued);
    given::<Product>(&gone).when(ProductCommand::Discontinue).then_expect_events(vec![]);
}

#[test]
fn codes_and_kinds_are_stable() {
    let said = |error: ProductError| (error.code(), error.kind());
    assert_eq!(said(ProductError::Exists), ("product-exists", RefusalKind::Conflict));
    assert_eq!(said(ProductError::NotFound), ("product-not-found", RefusalKind::NotFound));
    assert_eq!(said(ProductError::Discontinued), ("product-discontinued", RefusalKind::Conflict));
    assert_eq!(said(ProductError::Price), ("price-out-of-range", RefusalKind::Invalid));
}

/// Every limit: the longest that is accepted, and the first that isn't. Characters count, not bytes.
// proves: SEC-10
#[test]
fn limits_are_checked_on_create_and_update() {
    let text = |n: usize| "ü".repeat(n);
    let with = |change: &dyn Fn(&mut ProductDetails)| {
        let mut changed = details("Mug");
        change(&mut changed);
        changed
    };
    let many = |n: usize| (0..n).map(|i| (i.to_string(), String::new())).collect::<BTreeMap<_, _>>();
    let pair = |k: usize, v: usize| BTreeMap::from([(text(k), text(v))]);
    let cases: Vec<(ProductDetails, Option<ProductError>)> = vec![
        (with(&|d| d.sku = text(64)), None),
        (with(&|d| d.sku = text(65)), Some(ProductError::Sku)),
        (with(&|d| d.sku = String::new()), Some(ProductError::Sku)),
        (with(&|d| d.name = text(200)), None),
        (with(&|d| d.name = text(201)), Some(ProductError::Name)),
        (with(&|d| d.name = " ".into()), Some(ProductError::Name)),
        (with(&|d| d.description = text(10_000)), None),
        (with(&|d| d.description = String::new()), None),
        (with(&|d| d.description = text(10_001)), Some(ProductError::Description)),
        (with(&|d| d.category = text(100)), None),
        (with(&|d| d.category = text(101)), Some(ProductError::Category)),
        (with(&|d| d.category = String::new()), Some(ProductError::Category)),
        (with(&|d| d.attributes = many(50)), None),
        (with(&|d| d.attributes = many(51)), Some(ProductError::Attributes)),
        (with(&|d| d.attributes = pair(100, 1000)), None),
        (with(&|d| d.attributes = pair(101, 0)), Some(ProductError::AttributeName)),
        (with(&|d| d.attributes = pair(0, 0)), Some(ProductError::AttributeName)),
        (with(&|d| d.attributes = pair(1, 1001)), Some(ProductError::AttributeValue)),
    ];
    for (details, expected) in cases {
        let price = usd(1999);
        let create = ProductCommand::Create { details: details.clone(), price };
        let update = ProductCommand::Update { details, price };
        assert_eq!(given::<Product>(&[]).when(create).inspect_result().err(), expected);
        assert_eq!(given::<Product>(&[created()]).when(update).inspect_result().err(), expected);
    }
    for (amount, expected) in [
        (1, None),
        (MAX_AMOUNT, None),
        (0, Some(ProductError::Price)),
        (-1, Some(ProductError::Price)),
        (MAX_AMOUNT + 1, Some(ProductError::Price)),
        (i64::MIN, Some(ProductError::Price)),
    ] {
        let result = given::<Product>(&[]).when(create("Mug", usd(amount))).inspect_result();
        assert_eq!(result.err(), expected, "{amount}");
    }
}

// proves: CAT-1
#[test]
fn the_answer_is_the_product() {
    assert_eq!(answer_of::<Product>(&[]), None);
    let answer = answer_of::<Product>(&[created(), price_changed(usd(1999), usd(5))]).unwrap();
    insta::assert_json_snapshot!(answer, @r#"
    {
      "attributes": {
        "colour": "blue"
      },
      "category": "kitchen",
      "created_at": "2025-01-01T00:00:00.000000Z",
      "description": "holds tea",
      "discontinued": false,
      "id": "01950000-0000-7000-8000-0000000000aa",
      "name": "Mug",
      "price": {
        "amount": 5,
        "currency": "USD"
      },
      "sku": "MUG-1",
      "updated_at": "2025-01-01T00:01:00.000000Z",
      "version": 2
    }
    "#);
}

fn command() -> impl Strategy<Value = ProductCommand> {
    let names = || prop::sample::select(vec!["Mug", "Cup", ""]);
    let prices = || prop_oneof![4 => 1..4_i64, 1 => Just(0), 1 => Just(MAX_AMOUNT + 1)].prop_map(usd);
    prop_oneof![
        3 => (names(), prices()).prop_map(|(name, price)| create(name, price)),
        6 => (names(), prices()).prop_map(|(name, price)| update(name, price)),
        1 => Just(ProductCommand::Discontinue),
    ]
}

proptest! {
    // proves: CAT-1
    #[test]
    fn any_sequence_replays_and_the_price_history_has_no_gap(
        commands in prop::collection::vec((0..9_u8, command()), 0..30)
    ) {
        let invariant = |product: &Product| {
            let (details, price) = (product.details.as_ref().unwrap(), product.price.unwrap());
            assert_eq!(check(details, price), Ok(()));
        };
        let (_, events) = Properties { invariant, repeatable: |_| true, resendable: |_| false }.hold_for(&commands);
        let mut price = None;
        for event in events {
            match event {
                ProductEvent::Created(created) => price = Some(created.price),
                ProductEvent::PriceChanged(changed) => {
                    prop_assert_eq!(price, Some(changed.old_price));
                    prop_assert_ne!(changed.old_price, changed.price);
                    price = Some(changed.price);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn an_old_payload_without_a_price_is_named_and_not_guessed() {
    let old = r#"{"details":{"sku":"A","name":"A","description":"","category":"c"},"currency":"USD"}"#;
    let error = ProductEvent::read("product.created", 1, old).unwrap_err();
    assert!(error.reason.contains("price"), "{error}");
}
