use proptest::prelude::*;

use super::decide::MAX_WAREHOUSE_NAME;
use super::*;
use crate::aggregate::Aggregate;
use crate::refusal::{DomainError, RefusalKind};
use crate::testing::{Properties, SUBJECT, answer_of, at, context, given, given_at, id, state_of};

fn set(warehouse: &str, on_hand: u64) -> InventoryCommand {
    InventoryCommand::SetStock { warehouse: warehouse.into(), on_hand }
}

fn reserve(line: u32, quantity: u32, expires: i64) -> InventoryCommand {
    InventoryCommand::Reserve { order_id: id(1), line, quantity, expires_at: at(expires) }
}

fn release(line: u32) -> InventoryCommand {
    InventoryCommand::Release { order_id: id(1), line, reason: "payment_declined".into() }
}

fn withdraw(line: u32, expires: i64) -> InventoryCommand {
    let reason = "payment_declined".into();
    InventoryCommand::Withdraw { order_id: id(1), line, reason, expires_at: at(expires) }
}

fn commit(line: u32) -> InventoryCommand {
    InventoryCommand::Commit { order_id: id(1), line }
}

fn level(warehouse: &str, on_hand: u64, reserved: u64) -> LevelAfter {
    LevelAfter { warehouse: warehouse.into(), on_hand, reserved }
}

fn stock_set(previous: u64, level: LevelAfter) -> InventoryEvent {
    InventoryEvent::StockSet(StockSet { product_id: SUBJECT, previous, level })
}

/// Reserved at second 0 until second 100.
fn reserved(line: u32, from: &[(&str, u32)], levels: &[LevelAfter]) -> InventoryEvent {
    InventoryEvent::Reserved(StockReserved {
        product_id: SUBJECT,
        order_id: id(1),
        line,
        quantity: from.iter().map(|(_, pieces)| pieces).sum(),
        allocations: from.iter().map(|(w, q)| Allocation { warehouse: (*w).into(), quantity: *q }).collect(),
        reserved_at: at(0),
        expires_at: at(100),
        levels: levels.to_vec(),
    })
}

fn released(line: u32, quantity: u32, levels: &[LevelAfter]) -> InventoryEvent {
    InventoryEvent::Released(StockReleased {
        product_id: SUBJECT,
        order_id: id(1),
        line,
        quantity,
        reason: "payment_declined".into(),
        levels: levels.to_vec(),
    })
}

fn committed(line: u32, quantity: u32, levels: &[LevelAfter]) -> InventoryEvent {
    let levels = levels.to_vec();
    InventoryEvent::Committed(StockCommitted { product_id: SUBJECT, order_id: id(1), line, quantity, levels })
}

/// Ten pieces in the main warehouse, of which four are reserved for line 1.
fn four_of_ten() -> Vec<InventoryEvent> {
    vec![stock_set(0, level("main", 10, 0)), reserved(1, &[("main", 4)], &[level("main", 10, 4)])]
}

// proves: INV-1
#[test]
fn stock_is_stated_per_warehouse() {
    given::<Inventory>(&[])
        .when(set("main", 10))
        .then_expect_events(vec![stock_set(0, level("main", 10, 0))]);
    given::<Inventory>(&[]).when(set("main", 0)).then_expect_events(vec![stock_set(0, level("main", 0, 0))]);
    let four = four_of_ten();
    given::<Inventory>(&four).when(set("main", 10)).then_expect_events(vec![]);
    given::<Inventory>(&four)
        .when(set("main", 4))
        .then_expect_events(vec![stock_set(10, level("main", 4, 4))]);
    given::<Inventory>(&four)
        .when(set("main", 3))
        .then_expect_error(InventoryError::BelowReserved { reserved: 4 });
    given::<Inventory>(&four)
        .when(set("east", 7))
        .then_expect_events(vec![stock_set(0, level("east", 7, 0))]);
}

// proves: INV-1
#[test]
fn spellings_of_a_warehouse_are_one() {
    for name in ["main ", "Main", "ma\u{200b}in", "ｍａｉｎ", "\u{feff}MAIN"] {
        given::<Inventory>(&[])
            .when(set(name, 3))
            .then_expect_events(vec![stock_set(0, level("main", 3, 0))]);
        given::<Inventory>(&[stock_set(0, level("main", 3, 0))])
            .when(set(name, 3))
            .then_expect_events(vec![]);
    }
    given::<Inventory>(&[]).when(set("a\u{7}", 3)).then_expect_error(InventoryError::WarehouseName);
}

/// An older program told spellings apart. What it stored stays as it was stated until somebody states it anew: that then counts
/// for all spellings, and those keep only what is reserved from them.
// proves: INV-1, INV-2
#[test]
fn what_is_stated_counts_for_the_spellings_of_older_events() {
    let before = vec![
        stock_set(0, level("Main", 3, 0)),
        stock_set(0, level("main ", 3, 0)),
        reserved(1, &[("main ", 2)], &[level("main ", 3, 2)]),
    ];
    assert_eq!(state_of::<Inventory>(&before).total().on_hand, 6);
    let after = vec![
        stock_set(3, level("Main", 0, 0)),
        stock_set(3, level("main ", 2, 2)),
        stock_set(0, level("main", 1, 0)),
    ];
    given::<Inventory>(&before).when(set("main", 3)).then_expect_events(after.clone());
    given::<Inventory>(&before)
        .when(set("MAIN", 1))
        .then_expect_error(InventoryError::BelowReserved { reserved: 2 });
    let all = [before, after].concat();
    let answer = answer_of::<Inventory>(&all).unwrap();
    assert_eq!(
        (&answer["warehouse"], &answer["on_hand"], &answer["reserved"]),
        (&"main".into(), &3.into(), &2.into())
    );
    assert_eq!(state_of::<Inventory>(&all).total(), Level { on_hand: 3, reserved: 2 });
    given::<Inventory>(&all).when(set("main", 3)).then_expect_events(vec![]);
    given::<Inventory>(&all).when(commit(1)).then_expect_events(vec![committed(
        1,
        2,
        &[level("main ", 0, 0)],
    )]);
}

// proves: SEC-10
#[test]
fn malformed_stock_is_refused() {
    let empty = || given::<Inventory>(&[]);
    assert!(empty().when(set("main", MAX_ON_HAND)).inspect_result().is_ok());
    assert!(empty().when(set(&"w".repeat(MAX_WAREHOUSE_NAME), 1)).inspect_result().is_ok());
    for on_hand in [MAX_ON_HAND + 1, u64::MAX] {
        empty().when(set("main", on_hand)).then_expect_error(InventoryError::StockOutOfRange);
    }
    for name in [String::new(), " ".into(), "w".repeat(MAX_WAREHOUSE_NAME + 1)] {
        empty().when(set(&name, 1)).then_expect_error(InventoryError::WarehouseName);
    }
    let mut context = context::<Inventory>(0);
    context.stream = crate::stream::StreamId::new("default", "inventory", "mug");
    let result = Inventory::default().decide(&set("main", 1), &context);
    assert_eq!(result, Err(InventoryError::ProductId));
    assert_eq!(InventoryError::ProductId.kind(), RefusalKind::Invalid);
}

// proves: INV-2
#[test]
fn reserving_sets_pieces_aside() {
    let ten = [stock_set(0, level("main", 10, 0))];
    given::<Inventory>(&ten).when(reserve(1, 4, 100)).then_expect_events(vec![reserved(
        1,
        &[("main", 4)],
        &[level("main", 10, 4)],
    )]);
    given::<Inventory>(&four_of_ten()).when(reserve(2, 6, 100)).then_expect_events(vec![reserved(
        2,
        &[("main", 6)],
        &[level("main", 10, 10)],
    )]);
    given::<Inventory>(&four_of_ten())
        .when(reserve(2, 7, 100))
        .then_expect_error(InventoryError::OutOfStock { available: 6 });
    given::<Inventory>(&[])
        .when(reserve(1, 1, 100))
        .then_expect_error(InventoryError::OutOfStock { available: 0 });
    given::<Inventory>(&ten).when(reserve(1, 0, 100)).then_expect_error(InventoryError::Quantity);
    let error = InventoryError::OutOfStock { available: 6 };
    assert_eq!((error.code(), error.kind()), ("out-of-stock", RefusalKind::Conflict));
}

// proves: INV-2
#[test]
fn a_reservation_repeats_lapses_and_is_never_made_again() {
    let four = four_of_ten();
    given::<Inventory>(&four).when(reserve(1, 4, 100)).then_expect_events(vec![]);
    given_at::<Inventory>(101, &four).when(reserve(1, 4, 100)).then_expect_events(vec![]);
    let ten = &four[..1];
    assert!(given_at::<Inventory>(100, ten).when(reserve(1, 4, 100)).inspect_result().is_ok());
    given_at::<Inventory>(101, ten).when(reserve(1, 4, 100)).then_expect_error(InventoryError::Expired);
    for end in [released(1, 4, &[level("main", 10, 0)]), committed(1, 4, &[level("main", 6, 0)])] {
        let settled = [four.clone(), vec![end]].concat();
        given::<Inventory>(&settled)
            .when(reserve(1, 4, 100))
            .then_expect_error(InventoryError::AlreadySettled);
    }
    assert_eq!(InventoryError::Expired.code(), "reservation-expired");
    assert_eq!(InventoryError::AlreadySettled.code(), "reservation-settled");
}

// proves: INV-2
#[test]
fn one_warehouse_is_preferred_and_the_main_one_comes_first() {
    let stock = |east, main, west| {
        [("east", east), ("main", main), ("west", west)].map(|(w, n)| stock_set(0, level(w, n, 0)))
    };
    let taken_from = |stock: [InventoryEvent; 3], quantity| {
        let events = given::<Inventory>(&stock).when(reserve(1, quantity, 100)).inspect_result().unwrap();
        let [InventoryEvent::Reserved(event)] = &events[..] else { panic!("{events:?}") };
        event
            .allocations
            .iter()
            .map(|a| format!("{}:{}", a.warehouse, a.quantity))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(taken_from(stock(9, 9, 9), 5), "main:5");
    assert_eq!(taken_from(stock(9, 2, 9), 5), "east:5");
    assert_eq!(taken_from(stock(2, 2, 9), 5), "west:5");
    assert_eq!(taken_from(stock(2, 2, 4), 5), "main:2 east:2 west:1");
    assert_eq!(taken_from(stock(0, 2, 4), 6), "main:2 west:4");
}

// proves: INV-2
#[test]
fn releasing_puts_pieces_back_once() {
    let back = released(1, 4, &[level("main", 10, 0)]);
    given::<Inventory>(&four_of_ten()).when(release(1)).then_expect_events(vec![back.clone()]);
    given::<Inventory>(&[four_of_ten(), vec![back]].concat()).when(release(1)).then_expect_events(vec![]);
    given::<Inventory>(&four_of_ten()).when(release(2)).then_expect_events(vec![]);
    given::<Inventory>(&[]).when(release(1)).then_expect_events(vec![]);
}

// proves: INV-2
#[test]
fn what_was_withdrawn_is_never_reserved() {
    let withdrawn = InventoryEvent::Withdrawn(ReservationWithdrawn {
        product_id: SUBJECT,
        order_id: id(1),
        line: 2,
        reason: "payment_declined".into(),
        withdrawn_at: at(0),
        expires_at: at(100),
    });
    let four = four_of_ten();
    given::<Inventory>(&four).when(withdraw(2, 100)).then_expect_events(vec![withdrawn.clone()]);
    let after = [four.clone(), vec![withdrawn]].concat();
    given::<Inventory>(&after).when(withdraw(2, 100)).then_expect_events(vec![]);
    given::<Inventory>(&after).when(reserve(2, 1, 100)).then_expect_error(InventoryError::AlreadySettled);
    // One that was made after all is put back.
    let back = released(1, 4, &[level("main", 10, 0)]);
    given::<Inventory>(&four).when(withdraw(1, 100)).then_expect_events(vec![back]);
    // From then on a late one is refused by its time.
    given_at::<Inventory>(101, &four).when(withdraw(2, 100)).then_expect_events(vec![]);
}

// proves: INV-2, SHP-1
#[test]
fn committing_deducts_pieces_once() {
    let gone = committed(1, 4, &[level("main", 6, 0)]);
    given::<Inventory>(&four_of_ten()).when(commit(1)).then_expect_events(vec![gone.clone()]);
    let after = [four_of_ten(), vec![gone]].concat();
    given::<Inventory>(&after).when(commit(1)).then_expect_events(vec![]);
    given::<Inventory>(&after).when(release(1)).then_expect_events(vec![]);
    given::<Inventory>(&four_of_ten()).when(commit(2)).then_expect_error(InventoryError::NotReserved);
    let back = [four_of_ten(), vec![released(1, 4, &[level("main", 10, 0)])]].concat();
    given::<Inventory>(&back).when(commit(1)).then_expect_error(InventoryError::NotReserved);
    assert_eq!(InventoryError::NotReserved.code(), "not-reserved");
}

// proves: INV-2, P5
#[test]
fn settled_reservations_are_forgotten_once_they_have_lapsed() {
    let mut state: Inventory = state_of(&[stock_set(0, level("main", 1, 0))]);
    let mut most = 0;
    for line in 1..1000 {
        let now = i64::from(line);
        for command in [reserve(line, 1, now + 10), release(line)] {
            let events = state.decide(&command, &context::<Inventory>(now)).unwrap();
            events.iter().for_each(|event| state.evolve(event));
        }
        most = most.max(state.settled.len());
        // Those that a late reserve could still be taken for a first one of are remembered, to their last instant.
        for earlier in line.saturating_sub(10).max(1)..=line {
            let expires = i64::from(earlier) + 10;
            let again = state.decide(&reserve(earlier, 1, expires), &context::<Inventory>(now));
            assert_eq!(again, Err(InventoryError::AlreadySettled), "line {earlier} at {now}");
        }
    }
    assert!((FEWEST_TO_PRUNE..=FEWEST_TO_PRUNE + 1).contains(&most), "{most}");
}

/// A sale: a hundred orders a second for an hour, each settled at once and remembered for a quarter of one.
// proves: INV-2, P5
#[test]
fn the_state_of_a_sale_is_bounded_by_the_time_that_reservations_last() {
    const TTL: i64 = 900;
    let mut state: Inventory = state_of(&[stock_set(0, level("main", 1_000_000, 0))]);
    let (mut line, mut most, mut largest) = (0, 0, 0);
    for second in 0..3_600 {
        for _ in 0..100 {
            line += 1;
            let key = ReservationKey { order_id: id(1), line };
            let expires_at = at(second + TTL);
            state.reservations.insert(key, Reservation { allocations: Vec::new(), expires_at });
            state.evolve(&committed(line, 1, &[]));
        }
        // Any later reservation looks after those that have lapsed.
        line += 1;
        let events = state.decide(&reserve(line, 1, second + TTL), &context::<Inventory>(second)).unwrap();
        events.iter().for_each(|event| state.evolve(event));
        state.evolve(&released(line, 1, &[]));
        if state.settled.len() > most {
            most = state.settled.len();
            largest = state.bytes();
        }
    }
    let within = usize::try_from(TTL).unwrap() * 101;
    assert!((within..=within * 5 / 4 + 200).contains(&most), "{most} of {within}");
    let snapshot = serde_json::to_string(&state).unwrap().len();
    assert!(snapshot < 8 << 20 && largest < 16 << 20, "{snapshot} bytes of JSON, {largest} in memory");
    // Two days later: nothing is remembered, and nothing that is sent again is made again.
    let later = 2 * 86_400;
    let context = context::<Inventory>(later);
    let events = state.decide(&reserve(1, 1, later + TTL), &context).unwrap();
    events.iter().for_each(|event| state.evolve(event));
    let late = state.decide(&reserve(7, 1, 7 + TTL), &context);
    assert_eq!(late, Err(InventoryError::Expired));
    assert_eq!(state.decide(&release(7), &context), Ok(Vec::new()));
    assert_eq!(state.decide(&withdraw(7, 7 + TTL), &context), Ok(Vec::new()));
    assert_eq!(state.decide(&commit(7), &context), Err(InventoryError::NotReserved));
}

// proves: INV-1
#[test]
fn the_answer_is_the_warehouse_stated_last_and_the_total() {
    assert_eq!(answer_of::<Inventory>(&[]), None);
    let mut events = four_of_ten();
    events.push(stock_set(0, level("east", 7, 0)));
    insta::assert_json_snapshot!(answer_of::<Inventory>(&events).unwrap(), @r#"
    {
      "available": 7,
      "on_hand": 7,
      "product_id": "01950000-0000-7000-8000-0000000000aa",
      "reserved": 0,
      "total": {
        "available": 13,
        "on_hand": 17,
        "reserved": 4
      },
      "updated_at": "2025-01-01T00:01:00.000000Z",
      "version": 3,
      "warehouse": "east"
    }
    "#);
    // Stating the first one again without a change answers with it, too.
    let again = given::<Inventory>(&events).when(set("main", 10)).inspect_result().unwrap();
    let answer = answer_of::<Inventory>(&[events, again].concat()).unwrap();
    assert_eq!((answer["warehouse"].as_str(), answer["available"].as_u64()), (Some("main"), Some(6)));
}

fn command() -> impl Strategy<Value = InventoryCommand> {
    let line = || 1..12_u32;
    prop_oneof![
        2 => (prop::sample::select(vec!["main", "east", "west"]), 0..12_u64).prop_map(|(w, n)| set(w, n)),
        6 => (line(), 0..8_u32, 0..120_i64).prop_map(|(line, quantity, expires)| reserve(line, quantity, expires)),
        3 => line().prop_map(release),
        2 => (line(), 0..120_i64).prop_map(|(line, expires)| withdraw(line, expires)),
        3 => line().prop_map(commit),
    ]
}

fn invariant(stock: &Inventory) {
    let mut reserved = std::collections::BTreeMap::<&str, u64>::new();
    for allocation in stock.reservations.values().flat_map(|reservation| &reservation.allocations) {
        *reserved.entry(&allocation.warehouse).or_default() += u64::from(allocation.quantity);
    }
    for (warehouse, level) in &stock.warehouses {
        assert!(level.reserved <= level.on_hand, "{warehouse}: {level:?}");
        assert_eq!(level.reserved, reserved.get(warehouse.as_str()).copied().unwrap_or(0), "{warehouse}");
    }
    assert!(stock.reservations.keys().all(|key| !stock.settled.contains_key(key)));
}

proptest! {
    // proves: INV-2
    #[test]
    fn any_sequence_keeps_reserved_within_on_hand_and_conserves_pieces(
        commands in prop::collection::vec((0..9_u8, command()), 0..60)
    ) {
        let resendable = |command: &InventoryCommand| !matches!(command, InventoryCommand::SetStock { .. });
        let (state, events) = Properties { invariant, repeatable: |_| true, resendable }.hold_for(&commands);
        // Stock on hand is what was stated, less what left.
        let on_hand = events.iter().fold(0_i64, |sum, event| match event {
            InventoryEvent::StockSet(set) => sum + set.level.on_hand as i64 - set.previous as i64,
            InventoryEvent::Committed(committed) => sum - i64::from(committed.quantity),
            _ => sum,
        });
        prop_assert_eq!(state.total().on_hand as i64, on_hand);
    }

    #[test]
    fn a_reservation_key_survives_its_text(order in any::<u128>(), line in any::<u32>()) {
        let key = ReservationKey { order_id: Uuid::from_u128(order), line };
        prop_assert_eq!(key.to_string().parse(), Ok(key));
    }
}
