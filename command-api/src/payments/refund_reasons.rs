//! Refunds' reasons: sealed under the customer's key on their way in, opened for those who may see the payment.

use domain::payments::payment::RefundReason;
use domain::personal::{ERASED, Sealed};
use domain::ports::keys::{KeyError, SubjectKeys};
use domain::stream::StreamId;
use serde_json::Value;

use crate::web::problem::Problem;

/// Seals a person's words. Of a customer who was erased nothing more is kept, and money is given back all the same.
///
/// # Errors
/// [`KeyError::Unavailable`].
pub async fn seal(keys: &dyn SubjectKeys, subject: &StreamId, words: &str) -> Result<RefundReason, KeyError> {
    match keys.seal_one(subject, words).await {
        Ok(sealed) => Ok(RefundReason::Sealed(sealed)),
        Err(KeyError::Erased) => Ok(RefundReason::Plain(ERASED.to_owned())),
        Err(error) => Err(error),
    }
}

/// The reasons in the clear, in the same order; sealed ones of an erased customer read as [`ERASED`].
///
/// # Errors
/// [`KeyError::Unavailable`], [`KeyError::Broken`].
pub async fn open(
    keys: &dyn SubjectKeys,
    subject: &StreamId,
    reasons: &[RefundReason],
) -> Result<Vec<String>, KeyError> {
    let sealed: Vec<&Sealed> = reasons
        .iter()
        .filter_map(|reason| match reason {
            RefundReason::Sealed(sealed) => Some(sealed),
            RefundReason::Plain(_) => None,
        })
        .collect();
    let opened = if sealed.is_empty() { Vec::new() } else { keys.open(subject, &sealed).await? };
    let mut opened = opened.into_iter();
    let clear = |reason: &RefundReason| match reason {
        RefundReason::Sealed(_) => opened.next().ok_or(KeyError::Broken),
        RefundReason::Plain(text) => Ok(text.clone()),
    };
    reasons.iter().map(clear).collect()
}

/// Puts the reasons of a payment's stored answer in the clear.
pub(crate) async fn open_answer(
    keys: &dyn SubjectKeys,
    subject: &StreamId,
    mut payment: Value,
) -> Result<Value, Problem> {
    let Some(refunds) = payment["refunds"].as_array_mut() else { return Ok(payment) };
    let stored = |refund: &Value| match &refund["reason"] {
        // An answer that was stored before reasons were sealed.
        Value::String(text) => Ok(RefundReason::Plain(text.clone())),
        reason => serde_json::from_value(reason.clone()),
    };
    let reasons: serde_json::Result<Vec<RefundReason>> = refunds.iter().map(stored).collect();
    let reasons = reasons.map_err(|error| {
        tracing::error!(%error, "a stored answer has a refund without a reason");
        Problem::internal()
    })?;
    for (refund, reason) in refunds.iter_mut().zip(open(keys, subject, &reasons).await?) {
        refund["reason"] = Value::from(reason);
    }
    Ok(payment)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// The keys of subjects who were all erased.
    struct Erased;

    #[async_trait]
    impl SubjectKeys for Erased {
        async fn seal(&self, _: &StreamId, _: &[&str]) -> Result<Vec<Sealed>, KeyError> {
            Err(KeyError::Erased)
        }

        async fn open(&self, _: &StreamId, values: &[&Sealed]) -> Result<Vec<String>, KeyError> {
            Ok(values.iter().map(|_| ERASED.to_owned()).collect())
        }

        async fn destroy(&self, _: &StreamId) -> Result<(), KeyError> {
            Ok(())
        }

        fn blind(&self, value: &str) -> String {
            value.to_owned()
        }
    }

    // proves: SEC-6, PAY-2
    #[tokio::test]
    async fn of_an_erased_customer_no_reason_is_kept_or_shown() {
        let customer = domain::personal::subject("default", uuid::Uuid::nil());
        let kept = seal(&Erased, &customer, "a scratch").await.unwrap();
        assert!(kept == RefundReason::Plain(ERASED.to_owned()));
        let sealed = || serde_json::json!({"sealed": "v1.c2NyYXRjaA"});
        let answer = serde_json::json!({"id": 1, "refunds": [
            {"reason": sealed()}, {"reason": {"plain": "customer_request"}}, {"reason": "of an old answer"}, {"reason": sealed()},
        ]});
        let opened = open_answer(&Erased, &customer, answer).await.unwrap();
        let reasons = [ERASED, "customer_request", "of an old answer", ERASED]
            .map(|reason| serde_json::json!({"reason": reason}));
        assert_eq!(opened, serde_json::json!({"id": 1, "refunds": reasons}));
        assert!(open_answer(&Erased, &customer, serde_json::json!({"refunds": [{}]})).await.is_err());
    }
}
