use proptest::prelude::*;

use super::decide::MAX_REASON;
use super::*;
use crate::money::MAX_AMOUNT;
use crate::refusal::{DomainError, RefusalKind};
use crate::testing::{Properties, answer_of, eur, given, id, usd};

fn initiate(amount: Money, key: &str) -> PaymentCommand {
    PaymentCommand::Initiate {
        order_id: id(1),
        customer_id: id(2),
        amount,
        method: "tok_visa".into(),
        provider_key: key.into(),
    }
}

fn authorize(reference: &str) -> PaymentCommand {
    PaymentCommand::RecordAuthorized { provider_reference: reference.into() }
}

fn capture(reference: &str) -> PaymentCommand {
    PaymentCommand::RecordCaptured { provider_reference: reference.into() }
}

fn refund(n: u8, amount: Money) -> PaymentCommand {
    PaymentCommand::Refund { refund_id: id(n), amount, reason: RefundReason::Plain("broken".into()) }
}

fn settle(n: u8) -> PaymentCommand {
    PaymentCommand::SettleRefund { refund_id: id(n), provider_reference: "rr".into() }
}

fn fail(n: u8) -> PaymentCommand {
    PaymentCommand::FailRefund { refund_id: id(n), reason: "closed account".into() }
}

fn resolve(n: u8) -> PaymentCommand {
    PaymentCommand::ResolveRefund { refund_id: id(n) }
}

fn refunded(n: u8, amount: i64, sum: i64, status: PaymentStatus) -> PaymentEvent {
    PaymentEvent::Refunded(PaymentRefunded {
        order_id: id(1),
        refund_id: id(n),
        amount: usd(amount),
        reason: RefundReason::Plain("broken".into()),
        refunded: usd(sum),
        status,
    })
}

fn settled(n: u8) -> PaymentEvent {
    let provider_reference = "rr".to_owned();
    PaymentEvent::RefundSettled(PaymentRefundSettled {
        order_id: id(1),
        refund_id: id(n),
        provider_reference,
    })
}

/// The event that leads to a status, of a payment of 1000.
fn event(status: PaymentStatus) -> PaymentEvent {
    let order_id = id(1);
    let provider_reference = "r".to_owned();
    match status {
        PaymentStatus::Initiated => PaymentEvent::Initiated(PaymentInitiated {
            order_id,
            customer_id: id(2),
            amount: usd(1000),
            method: "tok_visa".into(),
            provider_key: "k".into(),
        }),
        PaymentStatus::Authorized => {
            PaymentEvent::Authorized(PaymentAuthorized { order_id, provider_reference })
        }
        PaymentStatus::Captured => {
            PaymentEvent::Captured(PaymentCaptured { order_id, captured: usd(1000), provider_reference })
        }
        PaymentStatus::Declined => {
            PaymentEvent::Declined(PaymentDeclined { order_id, reason: DeclineReason::InsufficientFunds })
        }
        PaymentStatus::Unknown => PaymentEvent::Unknown(PaymentBecameUnknown { order_id }),
        PaymentStatus::Voided => PaymentEvent::Voided(PaymentVoided { order_id }),
        PaymentStatus::PartiallyRefunded => refunded(50, 400, 400, status),
        PaymentStatus::Refunded => refunded(50, 1000, 1000, status),
    }
}

/// The shortest history that leads to a status.
fn history(status: PaymentStatus) -> Vec<PaymentEvent> {
    use PaymentStatus::{Captured, Initiated};
    let mut path = vec![event(Initiated)];
    if status.is_captured() && status != Captured {
        path.push(event(Captured));
    }
    if status != Initiated {
        path.push(event(status));
    }
    path
}

#[test]
fn a_payment_is_opened_once() {
    given::<Payment>(&[])
        .when(initiate(usd(1000), "k"))
        .then_expect_events(vec![event(PaymentStatus::Initiated)]);
    for status in PaymentStatus::ALL {
        given::<Payment>(&history(status)).when(initiate(usd(1000), "k")).then_expect_events(vec![]);
        given::<Payment>(&history(status))
            .when(initiate(usd(1000), "x"))
            .then_expect_error(PaymentError::Exists);
        given::<Payment>(&history(status))
            .when(initiate(usd(999), "k"))
            .then_expect_error(PaymentError::Exists);
    }
    for amount in [0, -1, MAX_AMOUNT + 1] {
        given::<Payment>(&[]).when(initiate(usd(amount), "k")).then_expect_error(PaymentError::Amount);
    }
    let no_method = PaymentCommand::Initiate {
        order_id: id(1),
        customer_id: id(2),
        amount: usd(1),
        method: " ".into(),
        provider_key: "k".into(),
    };
    given::<Payment>(&[]).when(no_method).then_expect_error(PaymentError::Method);
}

// proves: PAY-1, PAY-3
#[test]
fn every_result_of_the_provider_in_every_status() {
    use PaymentStatus::{
        Authorized, Captured, Declined, Initiated, PartiallyRefunded, Refunded, Unknown, Voided,
    };
    let results = || {
        [
            (authorize("r"), Authorized),
            (capture("r"), Captured),
            (PaymentCommand::RecordDeclined { reason: DeclineReason::InsufficientFunds }, Declined),
            (PaymentCommand::RecordUnknown, Unknown),
            (PaymentCommand::RecordVoided, Voided),
        ]
    };
    // Columns: the results above. `+` becomes, `=` is so already, `-` refused.
    let table = [
        (Initiated, "+++++"),
        (Unknown, "+++=+"),
        (Authorized, "=++-+"),
        (Captured, "==---"),
        (PartiallyRefunded, "==---"),
        (Refunded, "==---"),
        (Declined, "--=--"),
        (Voided, "----="),
    ];
    assert_eq!(table.len(), PaymentStatus::ALL.len());
    for (status, row) in table {
        for ((command, to), does) in results().into_iter().zip(row.chars()) {
            let what = format!("{command:?} when {status}");
            let expected = match does {
                '+' => Ok(vec![event(to)]),
                '=' => Ok(vec![]),
                _ => Err(PaymentError::IllegalTransition { from: status, to }),
            };
            assert_eq!(given::<Payment>(&history(status)).when(command).inspect_result(), expected, "{what}");
        }
    }
    for (command, _) in results() {
        given::<Payment>(&[]).when(command).then_expect_error(PaymentError::NotFound);
    }
}

// proves: PAY-3
#[test]
fn a_second_charge_does_not_pass_for_the_first() {
    use PaymentStatus::{Authorized, Captured, PartiallyRefunded, Refunded};
    for status in [Captured, PartiallyRefunded, Refunded] {
        given::<Payment>(&history(status)).when(capture("x")).then_expect_error(PaymentError::OtherReference);
    }
    given::<Payment>(&history(Authorized))
        .when(authorize("x"))
        .then_expect_error(PaymentError::OtherReference);
    assert_eq!(PaymentError::OtherReference.kind(), RefusalKind::Conflict);
}

// proves: PAY-2
#[test]
fn refunds_never_exceed_the_capture() {
    use PaymentStatus::{Captured, PartiallyRefunded, Refunded};
    let captured = || given::<Payment>(&history(Captured));
    let partly = || given::<Payment>(&history(PartiallyRefunded));
    captured().when(refund(51, usd(400))).then_expect_events(vec![refunded(51, 400, 400, PartiallyRefunded)]);
    captured().when(refund(51, usd(1000))).then_expect_events(vec![refunded(51, 1000, 1000, Refunded)]);
    captured()
        .when(refund(51, usd(1001)))
        .then_expect_error(PaymentError::ExceedsCapture { left: usd(1000) });
    partly().when(refund(51, usd(200))).then_expect_events(vec![refunded(51, 200, 600, PartiallyRefunded)]);
    partly().when(refund(51, usd(600))).then_expect_events(vec![refunded(51, 600, 1000, Refunded)]);
    partly().when(refund(51, usd(601))).then_expect_error(PaymentError::ExceedsCapture { left: usd(600) });
    given::<Payment>(&history(Refunded))
        .when(refund(51, usd(1)))
        .then_expect_error(PaymentError::ExceedsCapture { left: usd(0) });
    let error = PaymentError::ExceedsCapture { left: usd(600) };
    assert_eq!((error.code(), error.kind()), ("refund-exceeds-capture", RefusalKind::Invalid));
    assert_eq!(error.to_string(), "the refund is more than the 6.00 USD that is left of the capture");
}

// proves: PAY-2
#[test]
fn a_malformed_refund_is_refused_and_a_repeated_one_changes_nothing() {
    use PaymentStatus::{
        Authorized, Captured, Declined, Initiated, PartiallyRefunded, Refunded, Unknown, Voided,
    };
    for status in [Initiated, Authorized, Declined, Unknown, Voided] {
        given::<Payment>(&history(status))
            .when(refund(51, usd(1)))
            .then_expect_error(PaymentError::NotCaptured(status));
    }
    assert_eq!(PaymentError::NotCaptured(Voided).code(), "payment-not-captured");
    for status in [PartiallyRefunded, Refunded] {
        given::<Payment>(&history(status)).when(refund(50, usd(400))).then_expect_events(vec![]);
    }
    let captured = || given::<Payment>(&history(Captured));
    captured().when(refund(51, usd(0))).then_expect_error(PaymentError::Amount);
    captured().when(refund(51, usd(-1))).then_expect_error(PaymentError::Amount);
    captured().when(refund(51, usd(i64::MIN))).then_expect_error(PaymentError::Amount);
    captured().when(refund(51, eur(1))).then_expect_error(PaymentError::Currency);
    assert_eq!(PaymentError::Currency.code(), "currency-mismatch");
    let because = |reason: String| PaymentCommand::Refund {
        refund_id: id(51),
        amount: usd(1),
        reason: RefundReason::Plain(reason),
    };
    captured().when(because(String::new())).then_expect_error(PaymentError::Reason);
    captured().when(because("r".repeat(MAX_REASON + 1))).then_expect_error(PaymentError::Reason);
    assert!(captured().when(because("r".repeat(MAX_REASON))).inspect_result().is_ok());
    given::<Payment>(&[]).when(refund(51, usd(1))).then_expect_error(PaymentError::NotFound);
}

// proves: PAY-2
#[test]
fn a_refund_is_settled_once() {
    let mut given_refund = history(PaymentStatus::PartiallyRefunded);
    given::<Payment>(&given_refund).when(settle(50)).then_expect_events(vec![settled(50)]);
    given::<Payment>(&given_refund).when(settle(51)).then_expect_error(PaymentError::RefundNotFound);
    given_refund.push(settled(50));
    given::<Payment>(&given_refund).when(settle(50)).then_expect_events(vec![]);
    given::<Payment>(&[]).when(settle(50)).then_expect_error(PaymentError::NotFound);
}

// proves: PAY-2
#[test]
fn a_refund_that_fails_opens_its_amount_again() {
    use PaymentStatus::{Captured, PartiallyRefunded, Refunded};
    let failed = |amount, left, status| {
        PaymentEvent::RefundFailed(PaymentRefundFailed {
            order_id: id(1),
            refund_id: id(50),
            amount: usd(amount),
            reason: "closed account".into(),
            refunded: usd(left),
            status,
        })
    };
    let whole = [history(Refunded), vec![failed(1000, 0, Captured)]].concat();
    given::<Payment>(&history(Refunded)).when(fail(50)).then_expect_events(vec![failed(1000, 0, Captured)]);
    given::<Payment>(&whole).when(fail(50)).then_expect_events(vec![]);
    given::<Payment>(&whole).when(refund(50, usd(1000))).then_expect_events(vec![]);
    given::<Payment>(&whole)
        .when(refund(51, usd(1000)))
        .then_expect_events(vec![refunded(51, 1000, 1000, Refunded)]);

    let further = [history(PartiallyRefunded), vec![refunded(51, 600, 1000, Refunded)]].concat();
    given::<Payment>(&further).when(fail(50)).then_expect_events(vec![failed(400, 600, PartiallyRefunded)]);
    given::<Payment>(&further).when(fail(52)).then_expect_error(PaymentError::RefundNotFound);
    let paid_back = [history(PartiallyRefunded), vec![settled(50)]].concat();
    given::<Payment>(&paid_back).when(fail(50)).then_expect_error(PaymentError::RefundSettled);
}

// proves: PAY-2
#[test]
fn a_refund_that_was_paid_back_in_another_way_counts_again() {
    use PaymentStatus::{Captured, PartiallyRefunded, Refunded};
    let resolved = |amount, sum, status| {
        PaymentEvent::RefundResolved(PaymentRefundResolved {
            order_id: id(1),
            refund_id: id(50),
            amount: usd(amount),
            refunded: usd(sum),
            status,
        })
    };
    let mut failed = history(Refunded);
    failed.push(PaymentEvent::RefundFailed(PaymentRefundFailed {
        order_id: id(1),
        refund_id: id(50),
        amount: usd(1000),
        reason: "closed account".into(),
        refunded: usd(0),
        status: Captured,
    }));
    // The provider's late word for it counts as much as a person's.
    for command in [resolve(50), settle(50)] {
        given::<Payment>(&failed).when(command).then_expect_events(vec![resolved(1000, 1000, Refunded)]);
    }
    // While the provider is away.
    given::<Payment>(&history(PartiallyRefunded)).when(resolve(50)).then_expect_events(vec![resolved(
        400,
        400,
        PartiallyRefunded,
    )]);
    let settled = [history(PartiallyRefunded), vec![settled(50)]].concat();
    given::<Payment>(&settled).when(resolve(50)).then_expect_events(vec![]);
    let other = [failed, vec![refunded(51, 1, 1, PartiallyRefunded)]].concat();
    given::<Payment>(&other)
        .when(resolve(50))
        .then_expect_error(PaymentError::ExceedsCapture { left: usd(999) });
}

#[test]
fn the_answer_is_the_payment() {
    assert_eq!(answer_of::<Payment>(&[]), None);
    let events = [history(PaymentStatus::PartiallyRefunded), vec![settled(50)]].concat();
    insta::assert_json_snapshot!(answer_of::<Payment>(&events).unwrap(), @r#"
    {
      "amount": {
        "amount": 1000,
        "currency": "USD"
      },
      "captured": {
        "amount": 1000,
        "currency": "USD"
      },
      "created_at": "2025-01-01T00:00:00.000000Z",
      "decline_reason": null,
      "id": "01950000-0000-7000-8000-0000000000aa",
      "order_id": "01950000-0000-7000-8000-000000000001",
      "refunded": {
        "amount": 400,
        "currency": "USD"
      },
      "refunds": [
        {
          "amount": {
            "amount": 400,
            "currency": "USD"
          },
          "failure": null,
          "id": "01950000-0000-7000-8000-000000000032",
          "reason": {
            "plain": "broken"
          },
          "settled": true
        }
      ],
      "status": "partially_refunded",
      "updated_at": "2025-01-01T00:01:00.000000Z",
      "version": 4
    }
    "#);
}

fn command() -> impl Strategy<Value = PaymentCommand> {
    let reference = || prop::sample::select(vec!["r", "x"]);
    let amount = || prop_oneof![6 => (-1..700_i64).prop_map(usd), 1 => (1..9_i64).prop_map(eur)];
    prop_oneof![
        3 => (999..1001_i64).prop_map(|amount| initiate(usd(amount), "k")),
        1 => reference().prop_map(authorize),
        4 => reference().prop_map(capture),
        1 => prop::sample::select(DeclineReason::ALL.to_vec())
            .prop_map(|reason| PaymentCommand::RecordDeclined { reason }),
        1 => Just(PaymentCommand::RecordUnknown),
        1 => Just(PaymentCommand::RecordVoided),
        8 => (50..56_u8, amount()).prop_map(|(n, amount)| refund(n, amount)),
        4 => (50..56_u8).prop_map(settle),
        2 => (50..56_u8).prop_map(fail),
        1 => (50..56_u8).prop_map(resolve),
    ]
}

fn invariant(payment: &Payment) {
    let sum: i64 = payment.refunds.values().filter(|r| r.failure.is_none()).map(|r| r.amount.amount).sum();
    assert_eq!(payment.refunded, sum);
    assert!((0..=payment.captured).contains(&payment.refunded));
    let captured =
        if payment.status.is_captured() { payment.initiated.as_ref().unwrap().amount.amount } else { 0 };
    assert_eq!(payment.captured, captured);
    assert_eq!(payment.status == PaymentStatus::Refunded, captured > 0 && sum == captured);
}

proptest! {
    // proves: PAY-2, PAY-3
    #[test]
    fn any_sequence_charges_at_most_once_and_refunds_at_most_that(
        commands in prop::collection::vec((0..9_u8, command()), 0..40)
    ) {
        let (_, events) = Properties { invariant, repeatable: |_| true, resendable: |_| true }.hold_for(&commands);
        let captures = events.iter().filter(|event| matches!(event, PaymentEvent::Captured(_))).count();
        prop_assert!(captures <= 1);
    }
}
