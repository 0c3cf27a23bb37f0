//! The payment provider. One charge per key, whatever is repeated.

use async_trait::async_trait;
use domain::money::{Currency, Money};
use domain::payments::payment::DeclineReason;
use rusqlite::{Connection, OptionalExtension, params};
use sagas::fulfilment::ports::{Charge, ChargeRequest, PaymentProvider, ProviderError, VoidOutcome};
use uuid::Uuid;

use super::switches::{self, Who};
use super::{ChargeRow, Failure, Simulator};

struct Stored {
    seq: i64,
    id: String,
    amount: i64,
    currency: String,
    decline_reason: Option<String>,
    status: String,
}

impl Stored {
    fn charge(&self) -> Charge {
        let reference = self.id.clone();
        match self.status.as_str() {
            "captured" => Charge::Captured { reference },
            "authorized" => Charge::Authorized { reference },
            "voided" => Charge::Voided,
            _ => {
                let reason = self.decline_reason.as_deref().and_then(|reason| reason.parse().ok());
                Charge::Declined(reason.unwrap_or(DeclineReason::Declined))
            }
        }
    }
}

fn find(tx: &Connection, key: &str, now: i64) -> rusqlite::Result<Option<Stored>> {
    tx.prepare_cached(include_str!("sql/select_charge.sql"))?
        .query_row(params![key, now], |row| {
            Ok(Stored {
                seq: row.get(0)?,
                id: row.get(1)?,
                amount: row.get(2)?,
                currency: row.get(3)?,
                decline_reason: row.get(4)?,
                status: row.get(5)?,
            })
        })
        .optional()
}

fn refuse<T>(reason: &str) -> Result<T, Failure> {
    Err(Failure(ProviderError::Refused(reason.to_owned())))
}

/// Refuses what is asked for under a key, for good.
fn refuse_for_good<T>(tx: &Connection, key: &str, reason: &str) -> Result<T, Failure> {
    switches::refuse(tx, key, reason)?;
    refuse(reason)
}

/// What a refusing provider says.
const NOT_NOW: &str = "the provider refuses every call";

/// What a charge led to, and whether its reply gets lost.
struct ChargeReply {
    charge: Option<Charge>,
    lost: bool,
}

fn charge(
    tx: &Connection,
    request: &ChargeRequest,
    now: i64,
    captures_at: i64,
) -> Result<ChargeReply, Failure> {
    let refuses = switches::refuses(tx, Who::Payments)?;
    if let Some(known) = find(tx, &request.key, now)? {
        let same = known.amount == request.amount.amount && known.currency == request.amount.currency.code();
        if !same {
            return refuse("the key was used for another amount");
        }
        return Ok(ChargeReply { charge: Some(known.charge()), lost: false });
    }
    let tombstone: bool = tx
        .prepare_cached(include_str!("sql/select_tombstone.sql"))?
        .query_row([&request.key], |row| row.get(0))?;
    if tombstone {
        return Ok(ChargeReply { charge: Some(Charge::Voided), lost: false });
    }
    if let Some(reason) = switches::refusal(tx, &request.key)? {
        return refuse(&reason);
    }
    if refuses {
        return refuse_for_good(tx, &request.key, NOT_NOW);
    }
    let (status, declined, lost) = match request.method.as_str() {
        "tok_visa" => ("captured", None, false),
        "tok_timeout_captured" => ("captured", None, true),
        "tok_timeout_lost" => return Ok(ChargeReply { charge: None, lost: true }),
        "tok_slow" => ("authorized", None, false),
        "tok_refused" => return refuse_for_good(tx, &request.key, "amount not acceptable"),
        "tok_declined" => ("declined", Some(DeclineReason::Declined), false),
        "tok_insufficient_funds" => ("declined", Some(DeclineReason::InsufficientFunds), false),
        _ => ("declined", Some(DeclineReason::UnknownMethod), false),
    };
    tx.prepare_cached(include_str!("sql/insert_charge.sql"))?.execute(params![
        request.key,
        Uuid::now_v7().to_string(),
        request.payment_id.to_string(),
        request.order_id.to_string(),
        request.amount.amount,
        request.amount.currency.code(),
        request.method,
        status,
        declined.map(DeclineReason::as_str),
        (status == "authorized").then_some(captures_at),
    ])?;
    Ok(ChargeReply { charge: find(tx, &request.key, now)?.map(|stored| stored.charge()), lost })
}

fn void(tx: &Connection, key: &str, now: i64) -> Result<VoidOutcome, Failure> {
    let refuses = switches::refuses(tx, Who::Payments)?;
    match find(tx, key, now)? {
        None if refuses => return refuse(NOT_NOW),
        Some(charge) if refuses && charge.status == "authorized" => return refuse(NOT_NOW),
        None => {
            tx.execute(include_str!("sql/insert_tombstone.sql"), [key])?;
        }
        Some(charge) if charge.status == "captured" => {
            return Ok(VoidOutcome::AlreadyCaptured { reference: charge.id });
        }
        Some(charge) if charge.status == "authorized" => {
            tx.execute(include_str!("sql/void_charge.sql"), [charge.seq])?;
        }
        Some(_) => {}
    }
    Ok(VoidOutcome::Voided)
}

fn refund(tx: &Connection, key: &str, refund_id: Uuid, amount: Money, now: i64) -> Result<String, Failure> {
    let refuses = switches::refuses(tx, Who::Payments)?;
    let Some(charge) = find(tx, key, now)?.filter(|charge| charge.status == "captured") else {
        return refuse("nothing was captured under this key");
    };
    if amount.currency.code() != charge.currency || amount.amount <= 0 {
        return refuse("the amount doesn't fit the charge");
    }
    let known: Option<(i64, i64, String)> = tx
        .prepare_cached(include_str!("sql/select_refund.sql"))?
        .query_row([refund_id.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some((of, known_amount, reference)) = known {
        if (of, known_amount) != (charge.seq, amount.amount) {
            return refuse("the refund id was used for another refund");
        }
        return Ok(reference);
    }
    if let Some(reason) = switches::refusal(tx, &refund_id.to_string())? {
        return refuse(&reason);
    }
    if refuses {
        return refuse_for_good(tx, &refund_id.to_string(), NOT_NOW);
    }
    let before: i64 =
        tx.prepare_cached(include_str!("sql/sum_refunds.sql"))?.query_row([charge.seq], |row| row.get(0))?;
    if before.saturating_add(amount.amount) > charge.amount {
        return refuse("more than what is left of the charge");
    }
    let reference = Uuid::now_v7().to_string();
    tx.prepare_cached(include_str!("sql/insert_refund.sql"))?.execute(params![
        refund_id.to_string(),
        charge.seq,
        amount.amount,
        reference
    ])?;
    Ok(reference)
}

/// The charges after a place in the books, in order.
pub(super) fn list(tx: &Connection, after: i64, limit: usize, now: i64) -> Result<Vec<ChargeRow>, Failure> {
    let mut select = tx.prepare_cached(include_str!("sql/select_charges.sql"))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map(params![after, limit, now], |row| {
        let currency: String = row.get(5)?;
        // The books hold only currencies that a request had.
        let currency: Currency = currency.parse().unwrap_or(Currency::Usd);
        let (amount, refunded): (i64, i64) = (row.get(4)?, row.get(7)?);
        let status: String = row.get(6)?;
        let (status, captured) = match status.as_str() {
            "captured" if refunded == 0 => ("captured", amount),
            "captured" if refunded < amount => ("partially_refunded", amount),
            "captured" => ("refunded", amount),
            "authorized" => ("authorized", 0),
            "voided" => ("voided", 0),
            _ => ("declined", 0),
        };
        Ok(ChargeRow {
            seq: row.get(0)?,
            id: row.get(1)?,
            payment_id: row.get(2)?,
            order_id: row.get(3)?,
            amount: Money::new(amount, currency),
            status,
            captured: Money::new(captured, currency),
            refunded: Money::new(refunded, currency),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[async_trait]
impl PaymentProvider for Simulator {
    async fn charge(&self, request: &ChargeRequest) -> Result<Charge, ProviderError> {
        let request = request.clone();
        let slow = i64::try_from(self.0.config.slow_capture.as_micros()).unwrap_or(i64::MAX);
        let reply = self.run(move |tx, now| charge(tx, &request, now, now.saturating_add(slow))).await?;
        match reply.charge {
            Some(charge) if !reply.lost => Ok(charge),
            _ => {
                // The only thing that the caller of a real provider would see of a lost reply is time.
                tokio::time::sleep(self.0.config.lost_reply).await;
                Err(ProviderError::Timeout)
            }
        }
    }

    async fn lookup(&self, key: &str) -> Result<Option<Charge>, ProviderError> {
        let key = key.to_owned();
        self.run(move |tx, now| {
            if switches::refuses(tx, Who::Payments)? {
                return refuse(NOT_NOW);
            }
            Ok(find(tx, &key, now)?.map(|stored| stored.charge()))
        })
        .await
    }

    async fn void(&self, key: &str) -> Result<VoidOutcome, ProviderError> {
        let key = key.to_owned();
        self.run(move |tx, now| void(tx, &key, now)).await
    }

    async fn refund(&self, key: &str, refund_id: Uuid, amount: Money) -> Result<String, ProviderError> {
        let key = key.to_owned();
        self.run(move |tx, now| refund(tx, &key, refund_id, amount, now)).await
    }
}
