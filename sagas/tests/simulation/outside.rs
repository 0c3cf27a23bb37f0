//! A payment provider and a carrier in memory, whose calls go wrong when the tape says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::money::Money;
use domain::shop::payment::DeclineReason;
use sagas::ports::{
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
}

/// The outside world.
#[derive(Clone, Default)]
pub(crate) struct Outside(pub(crate) Arc<Mutex<Books>>);

impl Books {
    fn take_fault(&mut self) -> Fault {
        std::mem::take(&mut self.fault)
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
            books.charge(&request);
        }
        for charge in books.charges.values_mut() {
            if let Charge::Authorized { reference } = &charge.state {
                charge.state = Charge::Captured { reference: reference.clone() };
            }
        }
    }

    fn call<T>(&self, run: impl FnOnce(&mut Books) -> Result<T, ProviderError>) -> Result<T, ProviderError> {
        let mut books = self.0.lock().unwrap();
        books.calls += 1;
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
        self.call(|books| match request.method.as_str() {
            "late" if !books.charges.contains_key(&request.key) => {
                books.late.push(request.clone());
                Err(ProviderError::Timeout)
            }
            "lost" => Err(ProviderError::Timeout),
            _ => Ok(books.charge(request)),
        })
    }

    async fn lookup(&self, key: &str) -> Result<Option<Charge>, ProviderError> {
        self.call(|books| Ok(books.charges.get(key).map(|charge| charge.state.clone())))
    }

    async fn void(&self, key: &str) -> Result<VoidOutcome, ProviderError> {
        self.call(|books| {
            match books.charges.get_mut(key) {
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
        })
    }

    async fn refund(&self, key: &str, refund_id: Uuid, amount: Money) -> Result<String, ProviderError> {
        self.call(|books| {
            let charge = books.charges.get_mut(key).filter(|charge| charge.captured() > 0);
            let charge = charge.ok_or_else(|| ProviderError::Refused("nothing was captured".into()))?;
            charge.refunds.entry(refund_id).or_insert(amount.amount);
            assert!(charge.refunded() <= charge.amount, "more went back than was taken");
            Ok(format!("refund {refund_id}"))
        })
    }
}

#[async_trait]
impl Carrier for Outside {
    async fn book(&self, request: &BookingRequest) -> Result<Booking, ProviderError> {
        self.call(|books| {
            if request.country == "AQ" {
                return Ok(Booking::Refused { reason: "no route".into() });
            }
            books.bookings.entry(request.key.clone()).or_insert((request.order_id, true));
            Ok(Booking::Booked { reference: format!("booking of {}", request.key) })
        })
    }

    async fn cancel(&self, key: &str) -> Result<(), ProviderError> {
        self.call(|books| {
            if let Some((_, stands)) = books.bookings.get_mut(key) {
                *stands = false;
            }
            Ok(())
        })
    }
}
