use proptest::prelude::*;

use super::decide::MAX_PAYMENT_METHOD;
use super::*;
use crate::money::MAX_AMOUNT;
use crate::refusal::{DomainError, RefusalKind};
use crate::testing::{Properties, answer_of, eur, given, id, sealed, state_of, usd};

fn address() -> ShippingAddress {
    ShippingAddress {
        name: sealed("name"),
        line1: sealed("line1"),
        city: sealed("city"),
        postal_code: sealed("code"),
        country: "NL".into(),
    }
}

fn wanted(product: u8, quantity: u32, unit_price: Money) -> RequestedLine {
    RequestedLine {
        product_id: id(product),
        product_version: 3,
        sku: format!("SKU-{product}"),
        name: format!("Product {product}"),
        quantity,
        unit_price,
    }
}

fn place(lines: Vec<RequestedLine>) -> OrderCommand {
    OrderCommand::Place {
        customer_id: id(1),
        lines,
        payment_method: "tok_visa".into(),
        shipping_address: address(),
        parts: None,
    }
}

fn placed() -> OrderPlaced {
    let line = |line, product: u8, quantity, price, total| OrderLine {
        line,
        product_id: id(product),
        product_version: 3,
        sku: format!("SKU-{product}"),
        name: format!("Product {product}"),
        quantity,
        unit_price: usd(price),
        line_total: usd(total),
    };
    OrderPlaced {
        customer_id: id(1),
        // One product may stand on several lines.
        lines: vec![line(1, 7, 2, 1999, 3998), line(2, 7, 1, 1999, 1999), line(3, 8, 10, 5, 50)],
        total: usd(6047),
        payment_method: "tok_visa".into(),
        shipping_address: address(),
        parts: None,
    }
}

fn three_lines() -> Vec<RequestedLine> {
    vec![wanted(7, 2, usd(1999)), wanted(7, 1, usd(1999)), wanted(8, 10, usd(5))]
}

/// Every command but `Place`, in the columns' order of [`every_command_in_every_status`].
fn steps() -> [OrderCommand; 10] {
    [
        OrderCommand::ConfirmStock,
        OrderCommand::MarkPaymentUnknown { payment_id: id(20) },
        OrderCommand::ConfirmPayment { payment_id: id(20), shipment_id: id(30) },
        OrderCommand::MarkShipped { shipment_id: id(30) },
        OrderCommand::MarkDelivered,
        OrderCommand::Complete,
        OrderCommand::Reject { reason: EndReason::OutOfStock },
        OrderCommand::Cancel { reason: EndReason::CustomerRequest },
        OrderCommand::RequestCancellation,
        OrderCommand::RefuseCancellation,
    ]
}

fn event(status: OrderStatus) -> OrderEvent {
    match status {
        OrderStatus::Pending => OrderEvent::Placed(placed()),
        OrderStatus::StockReserved => OrderEvent::StockReserved(OrderStockReserved {}),
        OrderStatus::PaymentUnknown => OrderEvent::PaymentUnknown(OrderPaymentUnknown { payment_id: id(20) }),
        OrderStatus::Paid => OrderEvent::Paid(OrderPaid { payment_id: id(20), shipment_id: id(30) }),
        OrderStatus::Shipped => OrderEvent::Shipped(OrderShipped { shipment_id: id(30) }),
        OrderStatus::Delivered => OrderEvent::Delivered(OrderDelivered {}),
        OrderStatus::Completed => OrderEvent::Completed(OrderCompleted {}),
        OrderStatus::Rejected => OrderEvent::Rejected(OrderRejected { reason: EndReason::OutOfStock }),
        OrderStatus::Cancelled => {
            OrderEvent::Cancelled(OrderCancelled { reason: EndReason::CustomerRequest })
        }
    }
}

fn requested() -> OrderEvent {
    OrderEvent::CancellationRequested(OrderCancellationRequested {})
}

fn refused() -> OrderEvent {
    OrderEvent::CancellationRefused(OrderCancellationRefused {})
}

/// The shortest history that leads to a status.
fn history(status: OrderStatus) -> Vec<OrderEvent> {
    use OrderStatus::{
        Cancelled, Completed, Delivered, Paid, PaymentUnknown, Pending, Rejected, Shipped, StockReserved,
    };
    let path: &[OrderStatus] = match status {
        Pending => &[Pending],
        StockReserved => &[Pending, StockReserved],
        PaymentUnknown => &[Pending, StockReserved, PaymentUnknown],
        Paid => &[Pending, StockReserved, Paid],
        Shipped => &[Pending, StockReserved, Paid, Shipped],
        Delivered => &[Pending, StockReserved, Paid, Shipped, Delivered],
        Completed => &[Pending, StockReserved, Paid, Shipped, Delivered, Completed],
        Rejected => &[Pending, Rejected],
        Cancelled => &[Pending, Cancelled],
    };
    path.iter().copied().map(event).collect()
}

fn with_request(status: OrderStatus) -> Vec<OrderEvent> {
    let mut events = history(status);
    events.push(requested());
    events
}

// proves: ORD-1
#[test]
fn placing_computes_the_totals() {
    given::<Order>(&[]).when(place(three_lines())).then_expect_events(vec![OrderEvent::Placed(placed())]);
    for status in OrderStatus::ALL {
        given::<Order>(&history(status)).when(place(three_lines())).then_expect_error(OrderError::Exists);
    }
}

// proves: ORD-1, SEC-10
#[test]
fn a_malformed_order_is_refused() {
    let one = |quantity, price| place(vec![wanted(7, quantity, price)]);
    let many = |n| place((0..n).map(|_| wanted(7, 1, usd(1))).collect());
    let with = |method: &str, country: &str| OrderCommand::Place {
        customer_id: id(1),
        lines: three_lines(),
        payment_method: method.into(),
        shipping_address: ShippingAddress { country: country.into(), ..address() },
        parts: None,
    };
    let cases = [
        (many(0), Some(OrderError::Lines)),
        (many(MAX_LINES), None),
        (many(MAX_LINES + 1), Some(OrderError::Lines)),
        (one(0, usd(1)), Some(OrderError::Quantity)),
        (one(MAX_QUANTITY, usd(1)), None),
        (one(MAX_QUANTITY + 1, usd(1)), Some(OrderError::Quantity)),
        (one(u32::MAX, usd(1)), Some(OrderError::Quantity)),
        (one(1, usd(0)), Some(OrderError::Price)),
        (one(1, usd(-5)), Some(OrderError::Price)),
        (one(1, usd(MAX_AMOUNT)), None),
        (one(1, usd(MAX_AMOUNT + 1)), Some(OrderError::Price)),
        (one(2, usd(MAX_AMOUNT)), Some(OrderError::Overflow)),
        (one(MAX_QUANTITY, usd(MAX_AMOUNT)), Some(OrderError::Overflow)),
        (place(vec![wanted(7, 1, usd(MAX_AMOUNT)), wanted(8, 1, usd(1))]), Some(OrderError::Overflow)),
        (place(vec![wanted(7, 1, usd(1)), wanted(8, 1, eur(1))]), Some(OrderError::MixedCurrencies)),
        (with("", "NL"), Some(OrderError::PaymentMethod)),
        (with(&"m".repeat(MAX_PAYMENT_METHOD), "NL"), None),
        (with(&"m".repeat(MAX_PAYMENT_METHOD + 1), "NL"), Some(OrderError::PaymentMethod)),
        (with("tok_visa", "nl"), Some(OrderError::Country)),
        (with("tok_visa", "NLD"), Some(OrderError::Country)),
        (with("tok_visa", "é"), Some(OrderError::Country)),
        (with("tok_visa", ""), Some(OrderError::Country)),
    ];
    for (command, expected) in cases {
        let what = format!("{command:?}");
        assert_eq!(given::<Order>(&[]).when(command).inspect_result().err(), expected, "{what}");
        assert!(expected.is_none_or(|error| error.kind() == RefusalKind::Invalid));
    }
}

/// What a command does in a status.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    /// Its event.
    Step,
    /// Nothing: it is so already.
    Same,
    /// Refused as an illegal transition.
    No,
    /// Refused: too late to cancel, or nothing to cancel.
    Late,
}

// proves: ORD-2
#[test]
fn every_command_in_every_status() {
    use Does::{Late, No, Same, Step};
    use OrderStatus::{
        Cancelled, Completed, Delivered, Paid, PaymentUnknown, Pending, Rejected, Shipped, StockReserved,
    };
    // Columns: stock, unknown, paid, shipped, delivered, complete, reject, cancel, request and refuse cancellation.
    let table = [
        (Pending, [Step, No, No, No, No, No, Step, Step, Step, Same]),
        (StockReserved, [Same, Step, Step, No, No, No, No, Step, Step, Same]),
        (PaymentUnknown, [Same, Same, Step, No, No, No, No, Step, Step, Same]),
        (Paid, [Same, No, Same, Step, No, No, No, Step, Step, Same]),
        (Shipped, [Same, No, Same, Same, Step, No, No, No, Late, Same]),
        (Delivered, [Same, No, Same, Same, Same, Step, No, No, Late, Same]),
        (Completed, [Same, No, Same, Same, Same, Same, No, No, Late, Same]),
        (Rejected, [No, No, No, No, No, No, Same, No, Late, Same]),
        (Cancelled, [No, No, No, No, No, No, No, Same, Same, Same]),
    ];
    let leads_to = [StockReserved, PaymentUnknown, Paid, Shipped, Delivered, Completed, Rejected, Cancelled];
    for (status, row) in table {
        for (column, (command, does)) in steps().into_iter().zip(row).enumerate() {
            let what = format!("{command:?} when {status}");
            let result = given::<Order>(&history(status)).when(command).inspect_result();
            let expected = match (does, leads_to.get(column)) {
                (Step, Some(next)) => Ok(vec![event(*next)]),
                (Step, None) => Ok(vec![requested()]),
                (Same, _) => Ok(vec![]),
                (No, next) => Err(OrderError::IllegalTransition { from: status, to: *next.expect("a step") }),
                (Late, _) if status == Rejected => Err(OrderError::NothingToCancel),
                (Late, _) => Err(OrderError::TooLateToCancel(status)),
            };
            assert_eq!(result, expected, "{what}");
        }
    }
    for command in steps() {
        given::<Order>(&[]).when(command).then_expect_error(OrderError::NotFound);
    }
}

// proves: ORD-2
#[test]
fn a_request_to_cancel_changes_no_status_and_is_settled_by_the_saga() {
    use OrderStatus::{Paid, PaymentUnknown, Pending, Shipped, StockReserved};
    for status in [Pending, StockReserved, PaymentUnknown, Paid] {
        let state: Order = state_of(&with_request(status));
        assert_eq!((state.status, state.cancellation_requested), (status, true));
        let given = || given::<Order>(&with_request(status));
        given().when(OrderCommand::RequestCancellation).then_expect_events(vec![]);
        given().when(OrderCommand::RefuseCancellation).then_expect_events(vec![refused()]);
        let cancel = OrderCommand::Cancel { reason: EndReason::CustomerRequest };
        given().when(cancel).then_expect_events(vec![event(OrderStatus::Cancelled)]);
        // The saga decides: until it does, every other step stays as legal as it was.
        for next in status.next() {
            let command = steps().into_iter().zip(
                [StockReserved, PaymentUnknown, Paid, Shipped]
                    .into_iter()
                    .chain([OrderStatus::Delivered, OrderStatus::Completed])
                    .chain([OrderStatus::Rejected, OrderStatus::Cancelled]),
            );
            let command = command.into_iter().find(|(_, to)| to == next).map(|(command, _)| command).unwrap();
            given().when(command).then_expect_events(vec![event(*next)]);
        }
    }
    let too_late = [with_request(Paid), vec![event(Shipped)]].concat();
    given::<Order>(&too_late)
        .when(OrderCommand::RequestCancellation)
        .then_expect_error(OrderError::TooLateToCancel(Shipped));
    given::<Order>(&too_late).when(OrderCommand::RefuseCancellation).then_expect_events(vec![refused()]);
    for end in [event(OrderStatus::Cancelled), event(OrderStatus::Rejected), refused()] {
        let state: Order = state_of(&[with_request(Pending), vec![end]].concat());
        assert!(!state.cancellation_requested);
    }
}

// proves: ORD-2
#[test]
fn a_late_cancel_points_to_returns() {
    let error = OrderError::TooLateToCancel(OrderStatus::Shipped);
    assert_eq!((error.code(), error.kind()), ("order-not-cancellable", RefusalKind::Conflict));
    assert_eq!(
        error.to_string(),
        "an order that is shipped can't be cancelled any more; open a return instead"
    );
    assert_eq!(OrderError::NothingToCancel.code(), "order-not-cancellable");
}

#[test]
fn an_order_keeps_its_payment_shipment_and_reason() {
    let paid = history(OrderStatus::Paid);
    for (payment, shipment) in [(21, 30), (20, 31)] {
        let command = OrderCommand::ConfirmPayment { payment_id: id(payment), shipment_id: id(shipment) };
        given::<Order>(&paid).when(command).then_expect_error(OrderError::OtherReference);
    }
    for status in [OrderStatus::Paid, OrderStatus::Shipped, OrderStatus::Completed] {
        let command = OrderCommand::MarkShipped { shipment_id: id(31) };
        given::<Order>(&history(status)).when(command).then_expect_error(OrderError::OtherReference);
    }
    for (status, command) in [
        (OrderStatus::Cancelled, OrderCommand::Cancel { reason: EndReason::Fraud }),
        (OrderStatus::Rejected, OrderCommand::Reject { reason: EndReason::Fraud }),
    ] {
        given::<Order>(&history(status))
            .when(command)
            .then_expect_error(OrderError::IllegalTransition { from: status, to: status });
    }
}

// proves: ORD-1
#[test]
fn the_answer_is_the_order_without_its_address() {
    assert_eq!(answer_of::<Order>(&[]), None);
    let mut answer = answer_of::<Order>(&history(OrderStatus::Rejected)).unwrap();
    assert!(!answer.to_string().contains("v1."), "no personal field, not even sealed");
    assert_eq!(answer["items"].as_array().unwrap().len(), 3);
    answer["items"].as_array_mut().unwrap().truncate(1);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "created_at": "2025-01-01T00:00:00.000000Z",
      "customer_id": "01950000-0000-7000-8000-000000000001",
      "id": "01950000-0000-7000-8000-0000000000aa",
      "items": [
        {
          "line": 1,
          "line_total": {
            "amount": 3998,
            "currency": "USD"
          },
          "name": "Product 7",
          "product_id": "01950000-0000-7000-8000-000000000007",
          "quantity": 2,
          "sku": "SKU-7",
          "unit_price": {
            "amount": 1999,
            "currency": "USD"
          }
        }
      ],
      "payment": null,
      "payment_method": "tok_visa",
      "reason": "out_of_stock",
      "shipment": null,
      "status": "rejected",
      "total": {
        "amount": 6047,
        "currency": "USD"
      },
      "updated_at": "2025-01-01T00:01:00.000000Z",
      "version": 2
    }
    "#);
}

fn command() -> impl Strategy<Value = OrderCommand> {
    let reason = || prop::sample::select(EndReason::ALL.to_vec());
    let reference = |from: u8| (from..from + 2).prop_map(id);
    prop_oneof![
        3 => prop::collection::vec((0..3_u8, 0..3_u32, 0..4_i64), 0..4).prop_map(|lines| {
            place(lines.into_iter().map(|(product, quantity, price)| wanted(product, quantity, usd(price))).collect())
        }),
        3 => Just(place(three_lines())),
        4 => Just(OrderCommand::ConfirmStock),
        2 => reference(20).prop_map(|payment_id| OrderCommand::MarkPaymentUnknown { payment_id }),
        4 => (reference(20), reference(30))
            .prop_map(|(payment_id, shipment_id)| OrderCommand::ConfirmPayment { payment_id, shipment_id }),
        3 => reference(30).prop_map(|shipment_id| OrderCommand::MarkShipped { shipment_id }),
        2 => Just(OrderCommand::MarkDelivered),
        2 => Just(OrderCommand::Complete),
        1 => reason().prop_map(|reason| OrderCommand::Reject { reason }),
        2 => Just(OrderCommand::RequestCancellation),
        2 => Just(OrderCommand::RefuseCancellation),
        1 => reason().prop_map(|reason| OrderCommand::Cancel { reason }),
    ]
}

fn invariant(order: &Order) {
    let placed = order.placed.as_ref().unwrap();
    let sum: i64 = placed.lines.iter().map(|line| line.line_total.amount).sum();
    assert_eq!(placed.total.amount, sum);
    for line in &placed.lines {
        assert_eq!(line.line_total.amount, line.unit_price.amount * i64::from(line.quantity));
    }
    let unfulfilled = matches!(order.status, OrderStatus::Rejected | OrderStatus::Cancelled);
    assert_eq!(order.reason.is_some(), unfulfilled);
    assert!(!(unfulfilled && order.cancellation_requested));
    let paid = order.status.has_reached(OrderStatus::Paid);
    assert!(!paid || (order.payment_id.is_some() && order.shipment_id.is_some()));
}

proptest! {
    // proves: ORD-2
    #[test]
    fn any_sequence_takes_legal_steps_only_and_replays(
        commands in prop::collection::vec((0..9_u8, command()), 0..40)
    ) {
        // A second request after a refusal is a new one; all that the saga says is said once.
        let resendable = |command: &OrderCommand| {
            !matches!(command, OrderCommand::RequestCancellation | OrderCommand::RefuseCancellation)
        };
        let (_, events) = Properties { invariant, repeatable: |_| true, resendable }.hold_for(&commands);
        let mut order = Order::default();
        for event in &events {
            let before = order.clone();
            crate::aggregate::Aggregate::evolve(&mut order, event);
            let legal = before.placed.is_none()
                || before.status == order.status
                || before.status.may_become(order.status);
            prop_assert!(legal, "{} to {}", before.status, order.status);
        }
    }
}
