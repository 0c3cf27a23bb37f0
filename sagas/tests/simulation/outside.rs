//! A payment provider and a carrier in memory, whose calls go wrong when the tape says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::money::Money;
use domain::payments::payment::DeclineReason;
use sagas::fulfilment::ports::{
    Booking, BookingRequest, Carrier, Charge, ChargeRequest, PaymentProvider, ProviderError, VoidOutcome,
};
use uuid::Uuid;

/// How the next call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Carried out, and the reply is lost.
    LosesReply,
    /// The request is lost.
    LosesRequest,
    /// Refused for now.
    Unavailable,
}

/// How somebody outside is for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Up,
    Away,
    /// Says no, for good, to whatever is new.
    Refusing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charged {
    pub(crate) order_id: Uuid,
    pub(crate) amount: i64,
    pub(crate) state: Charge,
    pub(crate) refunds: BTreeMap<Uuid, i64>,
}

impl Charged {
    pub(crate) fn captured(&self) -> i64 {
        if matches!(self.state, Charge::Captured { .. }) { self.amount } else { 0 }
    }

    pub(crate) fn refunded(&self) -> i64 {
        self.refunds.values().sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) charges: BTreeMap<String, Charged>,
    tombstones: BTreeSet<String>,
    /// Requests that are still on their way to the provider.
    late: Vec<ChargeRequest>,
    /// By key: the order, and whether the booking stands.
    pub(crate) bookings: BTreeMap<String, (Uuid, bool)>,
    fault: Fault,
    calls: usize,
    pub(crate) payments: Mood,
    pub(crate) carrier: Mood,
    /// Keys of charges and bookings, and refunds, that were refused for good.
    refused: BTreeSet<String>,
}

fn no<T>() -> Result<T, ProviderError> {
    Err(ProviderError::Refused("not acceptable".into()))
}

/// The outside world.
#[derive(Clone, Default)]
pub(crate) struct Outside(pub(crate) Arc<Mutex<Books>>);

impl Books {
    fn take_fault(&mut self) -> Fault {
        std::mem::take(&mut self.fault)
    }

    /// Whether what is new under a key is refused; then it is for good.
    fn refuses(&mut self, mood: Mood, key: &str) -> bool {
        if mood == Mood::Refusing {
            self.refused.insert(key.to_owned());
        }
        self.refused.contains(key)
    }

    fn charge(&mut self, request: &ChargeRequest) -> Charge {
        if self.tombstones.contains(&request.key) {
            return Charge::Voided;
        }
        let reference = format!("charge of {}", request.key);
        let state = match request.method.as_str() {
            "declined" => Charge::Declined(DeclineReason::Declined),
            "slow" => Charge::Authorized { reference },
            _ => Charge::Captured { reference },
        };
        let new = Charged {
            order_id: request.order_id,
            amount: request.amount.amount,
            state,
            refunds: BTreeMap::new(),
        };
        self.charges.entry(request.key.clone()).or_insert(new).state.clone()
    }
}

impl Outside {
    pub(crate) fn fail_next(&self, fault: Fault) {
        self.0.lock().unwrap().fault = fault;
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// Late requests arrive, and what is authorised is captured.
    pub(crate) fn move_on(&self) {
        let mut books = self.0.lock().unwrap();
        for request in std::mem::take(&mut books.late) {
            if !books.refused.contains(&request.key) {
                books.charge(&request);
            }
        }
        for charge in books.charges.values_mut() {
            if let Charge::Authorized { reference } = &charge.state {
                charge.state = Charge::Captured { reference: reference.clone() };
            }
        }
    }

    /// Whether somebody is away or refuses.
    pub(crate) fn is_moody(&self) -> bool {
        let books = self.0.lock().unwrap();
        (books.payments, books.carrier) != (Mood::Up, Mood::Up)
    }

    /// Moods change.
    pub(crate) fn turn(&self, payments: Mood, carrier: Mood) {
        let mut books = self.0.lock().unwrap();
        (books.payments, books.carrier) = (payments, carrier);
    }

    fn call<T>(
        &self,
        mood: impl FnOnce(&Books) -> Mood,
        run: impl FnOnce(&mut Books) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let mut books = self.0.lock().unwrap();
        books.calls += 1;
        if mood(&books) == Mood::Away {
            return Err(ProviderError::Unavailable("away".into()));
        }
        match books.take_fault() {
            Fault::None => run(&mut books),
            Fault::LosesReply => run(&mut books).and(Err(ProviderError::Timeout)),
            Fault::LosesRequest => Err(ProviderError::Timeout),
            Fault::Unavailable => Err(ProviderError::Unavailable("out of order".into())),
        }
    }
}

#[async_trait]
impl PaymentProvider for Outside {
    async fn charge(&self, request: &ChargeRequest) -> Result<Charge, ProviderError> {
        self.call(
            |b| b.payments,
            |books| match request.method.as_str() {
                _ if books.charges.contains_key(&request.key) => Ok(books.charge(request)),
                "refused" => no(),
                _ if books.refuses(books.payments, &request.key) => no(),
                "late" if !books.charges.contains_key(&request.key) => {
                    books.late.push(request.clone());
                    Err(ProviderError::Timeout)
                }
                "lost" => Err(ProviderError::Timeout),
                _ => Ok(books.charge(request)),
            },
        )
    }

    async fn lookup(&self, key: &str) -> Result<Option<Charge>, ProviderError> {
        let refuses = |books: &mut Books| books.payments == Mood::Refusing;
        self.call(
            |b| b.payments,
            |books| {
                if refuses(books) {
                    no()
                } else {
                    Ok(books.charges.get(key).map(|charge| charge.state.clone()))
                }
            },
        )
    }

    async fn void(&self, key: &str) -> Result<VoidOutcome, ProviderError> {
        self.call(
            |b| b.payments,
            |books| {
                let refusing = books.payments == Mood::Refusing;
                match books.charges.get_mut(key) {
                    Some(charge) if refusing && matches!(charge.state, Charge::Authorized { .. }) => {
                        return no();
                    }
                    None if refusing && !books.tombstones.contains(key) => return no(),
                    Some(Charged { state: Charge::Captured { reference }, .. }) => {
                        return Ok(VoidOutcome::AlreadyCaptured { reference: reference.clone() });
                    }
                    Some(charge) if matches!(charge.state, Charge::Authorized { .. }) => {
                        charge.state = Charge::Voided
                    }
                    Some(_) => {}
                    None => {
                        books.tombstones.insert(key.to_owned());
                    }
                }
                Ok(VoidOutcome::Voided)
            },
        )
    }

    async fn refund(&self, key: &str, refund_id: Uuid, amount: Money) -> Result<String, ProviderError> {
        self.call(
            |b| b.payments,
            |books| {
                let known =
                    books.charges.get(key).is_some_and(|charge| charge.refunds.contains_key(&refund_id));
                if !known && books.refuses(books.payments, &refund_id.to_string()) {
                    return no();
                }
                let charge = books.charges.get_mut(key).filter(|charge| charge.captured() > 0);
                let charge = charge.ok_or_else(|| ProviderError::Refused("nothing was captured".into()))?;
                charge.refunds.entry(refund_id).or_insert(amount.amount);
                assert!(charge.refunded() <= charge.amount, "more went back than was taken");
                Ok(format!("refund {refund_id}"))
            },
        )
    }
}

#[async_trait]
impl Carrier for Outside {
    async fn book(&self, request: &BookingRequest) -> Result<Booking, ProviderError> {
        self.call(
            |b| b.carrier,
            |books| {
                let new = !books.bookings.contains_key(&request.key);
                if request.country == "AQ" || (new && books.refuses(books.carrier, &request.key)) {
                    return Ok(Booking::Refused { reason: "no route".into() });
                }
                books.bookings.entry(request.key.clone()).or_insert((request.order_id, true));
                Ok(Booking::Booked { reference: format!("booking of {}", request.key) })
            },
        )
    }

    async fn cancel(&self, key: &str) -> Result<(), ProviderError> {
        self.call(
            |b| b.carrier,
            |books| {
                let refusing = books.carrier == Mood::Refusing;
                if let Some((_, stands)) = books.bookings.get_mut(key) {
                    if refusing && *stands {
                        return no();
                    }
                    *stands = false;
                }
                Ok(())
            },
        )
    }
}
