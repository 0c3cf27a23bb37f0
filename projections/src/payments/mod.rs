//! Payments and their refunds.

use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::payments::payment::{PaymentEvent, PaymentStatus, PaymentView, RefundReason, RefundView};
use domain::personal::Sealed;
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, int, tenant, text, wire_name};
use crate::engine::model::Projection;
use crate::engine::query::{Children, Condition, Row, Select, Unreadable, View, first};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};

/// One row per payment.
pub static PAYMENTS: Table = Table {
    name: "payments",
    about: "One row per payment.",
    key: &[TENANT, col("payment_id", ColumnKind::Uuid, "The payment")],
    groups: &[Group {
        name: "payment",
        source: "payment",
        columns: &[
            col("order_id", ColumnKind::Uuid, "The order"),
            col("customer_id", ColumnKind::Uuid, "The customer's user id"),
            col(
                "status",
                ColumnKind::Text,
                "initiated, authorized, captured, declined, unknown, voided, partially_refunded, refunded",
            ),
            col("method", ColumnKind::Text, "The provider's token of the payment method"),
            col("currency", ColumnKind::Text, "ISO 4217 code"),
            col("amount", ColumnKind::Int, "What is to be charged, in minor units (cents) of the currency"),
            col(
                "captured_amount",
                ColumnKind::Int,
                "What the provider took, in minor units (cents) of the currency",
            ),
            col(
                "refunded_amount",
                ColumnKind::Int,
                "The sum of refunds, in minor units (cents) of the currency",
            ),
            col("decline_reason", ColumnKind::Text, "Why the provider declined"),
            col("provider_reference", ColumnKind::Text, "The provider's own id"),
            CREATED_AT,
            UPDATED_AT,
        ],
    }],
    indexes: &[Index { name: "payments_by_order", on: &["tenant", "order_id"], only: None }],
};

/// One row per refund.
pub static REFUNDS: Table = Table {
    name: "refunds",
    about: "One row per refund of a payment.",
    key: &[
        TENANT,
        col("payment_id", ColumnKind::Uuid, "The payment"),
        col("refund_id", ColumnKind::Uuid, "The refund"),
    ],
    groups: &[Group {
        name: "refund",
        source: "payment",
        columns: &[
            col(
                "accepted_version",
                ColumnKind::Int,
                "Version of the payment's stream that accepted it: the order of a payment's refunds",
            ),
            col("currency", ColumnKind::Text, "ISO 4217 code"),
            col("amount", ColumnKind::Int, "How much, in minor units (cents) of the currency"),
            col(
                "reason",
                ColumnKind::Text,
                "Why, where the program itself gave it back, and for refunds from before reasons were sealed",
            ),
            col(
                "sealed_reason",
                ColumnKind::Text,
                "Why, in the words of a person: ciphertext under the customer's key",
            ),
            col("settled", ColumnKind::Bool, "It was paid back"),
            col("provider_reference", ColumnKind::Text, "The provider's own id"),
            col(
                "failure",
                ColumnKind::Text,
                "What the provider said when it refused it for good: it doesn't count",
            ),
            CREATED_AT,
            UPDATED_AT,
        ],
    }],
    indexes: &[],
};

/// The name of the projection.
pub const NAME: &str = "payments";

/// The projection `payments`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Payments;

impl Projection for Payments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&PAYMENTS, &REFUNDS] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != "payment" {
            return Ok(vec![]);
        }
        let id = event.stream_uuid()?;
        let status = |status: PaymentStatus| Ok::<_, DecodeError>(("status", wire_name(event, &status)?));
        let mut rows = Vec::new();
        let mut set = match event.typed::<PaymentEvent>()? {
            PaymentEvent::Initiated(initiated) => vec![
                ("order_id", Value::Uuid(initiated.order_id)),
                ("customer_id", Value::Uuid(initiated.customer_id)),
                status(PaymentStatus::Initiated)?,
                ("method", text(initiated.method)),
                ("currency", text(initiated.amount.currency.code())),
                ("amount", Value::Int(initiated.amount.amount)),
                ("captured_amount", Value::Int(0)),
                ("refunded_amount", Value::Int(0)),
                ("created_at", Value::Time(event.time)),
            ],
            PaymentEvent::Authorized(authorized) => vec![
                status(PaymentStatus::Authorized)?,
                ("provider_reference", text(authorized.provider_reference)),
            ],
            PaymentEvent::Captured(captured) => vec![
                status(PaymentStatus::Captured)?,
                ("captured_amount", Value::Int(captured.captured.amount)),
                ("provider_reference", text(captured.provider_reference)),
            ],
            PaymentEvent::Declined(declined) => {
                vec![
                    status(PaymentStatus::Declined)?,
                    ("decline_reason", wire_name(event, &declined.reason)?),
                ]
            }
            PaymentEvent::Unknown(_) => vec![status(PaymentStatus::Unknown)?],
            PaymentEvent::Voided(_) => vec![status(PaymentStatus::Voided)?],
            PaymentEvent::Refunded(refunded) => {
                let set = vec![
                    ("accepted_version", int(event, event.version)?),
                    ("currency", text(refunded.amount.currency.code())),
                    ("amount", Value::Int(refunded.amount.amount)),
                    match refunded.reason {
                        RefundReason::Plain(reason) => ("reason", text(reason)),
                        RefundReason::Sealed(sealed) => ("sealed_reason", text(sealed.as_text())),
                    },
                    ("settled", Value::Bool(false)),
                    ("created_at", Value::Time(event.time)),
                ];
                rows.push(refund(event, id, refunded.refund_id, set));
                vec![status(refunded.status)?, ("refunded_amount", Value::Int(refunded.refunded.amount))]
            }
            PaymentEvent::RefundSettled(settled) => {
                let set = vec![
                    ("settled", Value::Bool(true)),
                    ("provider_reference", text(settled.provider_reference)),
                ];
                rows.push(refund(event, id, settled.refund_id, set));
                vec![]
            }
            PaymentEvent::RefundFailed(failed) => {
                rows.push(refund(event, id, failed.refund_id, vec![("failure", text(failed.reason))]));
                vec![status(failed.status)?, ("refunded_amount", Value::Int(failed.refunded.amount))]
            }
            PaymentEvent::RefundResolved(resolved) => {
                let set = vec![("settled", Value::Bool(true)), ("failure", Value::Null)];
                rows.push(refund(event, id, resolved.refund_id, set));
                vec![status(resolved.status)?, ("refunded_amount", Value::Int(resolved.refunded.amount))]
            }
        };
        set.push(("updated_at", Value::Time(event.time)));
        rows.push(RowChange {
            table: &PAYMENTS,
            key: vec![tenant(event), Value::Uuid(id)],
            group: "payment",
            version: event.version,
            set,
        });
        Ok(rows)
    }
}

/// Its row projections.
#[must_use]
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(Payments)]
}

fn refund(event: &RecordedEvent, payment: Uuid, id: Uuid, mut set: Vec<(&'static str, Value)>) -> RowChange {
    set.push(("updated_at", Value::Time(event.time)));
    RowChange {
        table: &REFUNDS,
        key: vec![tenant(event), Value::Uuid(payment), Value::Uuid(id)],
        group: "refund",
        version: event.version,
        set,
    }
}

fn refund_of(row: &Row) -> Result<RefundView<RefundReason>, Unreadable> {
    let sealed = row.text_or_none("sealed_reason")?;
    Ok(RefundView {
        id: row.uuid("refund_id")?,
        amount: row.money("amount")?,
        reason: match sealed {
            Some(sealed) => RefundReason::Sealed(Sealed::from_text(sealed.to_owned())),
            // A refund that was settled before its acceptance was seen has none yet.
            None => RefundReason::Plain(row.text_or_none("reason")?.unwrap_or_default().to_owned()),
        },
        settled: row.is("settled")?,
        failure: row.text_or_none("failure")?.map(str::to_owned),
    })
}

impl View for PaymentView<RefundReason> {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &PAYMENTS;
    const CHILDREN: &'static [Children] =
        &[Children { table: &REFUNDS, order: &["accepted_version", "refund_id"] }];

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self {
            id: row.uuid("payment_id")?,
            order_id: row.uuid("order_id")?,
            customer_id: row.uuid("customer_id")?,
            status: row.parsed("status")?,
            amount: row.money("amount")?,
            captured: row.money("captured_amount")?,
            refunded: row.money("refunded_amount")?,
            refunds: row.children(0).iter().map(refund_of).collect::<Result<_, _>>()?,
            decline_reason: row.parsed_or_none("decline_reason")?,
            version: row.version("payment")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

/// Questions about payments.
pub trait ReadPayments: ReadModels {
    /// A payment.
    ///
    /// # Errors
    /// [`ReadError`].
    fn payment(
        &self,
        tenant: &str,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<PaymentView<RefundReason>>, ReadError>> + Send {
        async move {
            let select = Select::of::<PaymentView<RefundReason>>(tenant);
            first(self, select.and(Condition::Is("payment_id", Value::Uuid(id)))).await
        }
    }
}

impl<R: ReadModels + ?Sized> ReadPayments for R {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{ID, event, set, text as t, usd};
    use domain::payments::payment::{
        PaymentRefundFailed, PaymentRefundResolved, PaymentRefundSettled, PaymentRefunded,
    };
    use domain::personal::Sealed;

    #[test]
    fn a_refund_is_a_row_beside_the_payments() {
        let refund_id = Uuid::from_u128(3);
        let refunded = PaymentEvent::Refunded(PaymentRefunded {
            order_id: ID,
            refund_id,
            amount: usd(40),
            reason: RefundReason::Sealed(Sealed::from_text("v1.c2NyYXRjaA".into())),
            refunded: usd(60),
            status: PaymentStatus::PartiallyRefunded,
        });
        let rows = Payments.map(&event("payment", 5, &refunded)).unwrap();
        let [refund, payment] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(refund.key[2], Value::Uuid(refund_id));
        assert_eq!(
            (set(refund, "amount"), set(refund, "settled")),
            (Some(&Value::Int(40)), Some(&Value::Bool(false)))
        );
        assert_eq!(set(refund, "accepted_version"), Some(&Value::Int(5)));
        // proves: SEC-6
        assert_eq!((set(refund, "sealed_reason"), set(refund, "reason")), (Some(&t("v1.c2NyYXRjaA")), None));
        assert_eq!(set(payment, "status"), Some(&t("partially_refunded")));
        assert_eq!(set(payment, "refunded_amount"), Some(&Value::Int(60)));
        let settled = PaymentEvent::RefundSettled(PaymentRefundSettled {
            order_id: ID,
            refund_id,
            provider_reference: "re".into(),
        });
        let rows = Payments.map(&event("payment", 6, &settled)).unwrap();
        assert_eq!((set(&rows[0], "settled"), set(&rows[0], "amount")), (Some(&Value::Bool(true)), None));
        assert_eq!(set(&rows[1], "status"), None);
    }

    // proves: PAY-2
    #[test]
    fn a_refund_that_failed_is_seen_and_its_amount_is_open_again() {
        let refund_id = Uuid::from_u128(3);
        let failed = PaymentEvent::RefundFailed(PaymentRefundFailed {
            order_id: ID,
            refund_id,
            amount: usd(40),
            reason: "account closed".into(),
            refunded: usd(20),
            status: PaymentStatus::PartiallyRefunded,
        });
        let rows = Payments.map(&event("payment", 6, &failed)).unwrap();
        assert_eq!((set(&rows[0], "failure"), set(&rows[0], "settled")), (Some(&t("account closed")), None));
        assert_eq!(set(&rows[1], "refunded_amount"), Some(&Value::Int(20)));
        assert_eq!(set(&rows[1], "status"), Some(&t("partially_refunded")));
        let resolved = PaymentEvent::RefundResolved(PaymentRefundResolved {
            order_id: ID,
            refund_id,
            amount: usd(40),
            refunded: usd(60),
            status: PaymentStatus::Refunded,
        });
        let rows = Payments.map(&event("payment", 7, &resolved)).unwrap();
        assert_eq!(
            (set(&rows[0], "failure"), set(&rows[0], "settled")),
            (Some(&Value::Null), Some(&Value::Bool(true)))
        );
        assert_eq!(set(&rows[1], "refunded_amount"), Some(&Value::Int(60)));
    }
}
