//! What an order decides, and how its events change it.

use serde_json::Value;
use uuid::Uuid;

use super::{
    MAX_LINES, MAX_QUANTITY, Order, OrderCancellationRefused, OrderCancellationRequested, OrderCancelled,
    OrderCommand, OrderCompleted, OrderDelivered, OrderEvent, OrderLine, OrderPaid, OrderParts,
    OrderPaymentUnknown, OrderPlaced, OrderRejected, OrderShipped, OrderStatus, OrderStockReserved,
    OrderView, RequestedLine, ShippingAddress,
};
use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::money::{MAX_AMOUNT, Money, MoneyError};
use crate::refusal::{DomainError, RefusalKind};

/// The longest token of a payment method, in characters.
pub(super) const MAX_PAYMENT_METHOD: usize = 100;

/// Why a command for an order is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// It was placed before.
    #[error("the order exists already")]
    Exists,
    /// It was never placed.
    #[error("there is no such order")]
    NotFound,
    /// No line, or too many.
    #[error("an order needs 1 to {MAX_LINES} lines")]
    Lines,
    /// No piece, or too many.
    #[error("a line's quantity must be between 1 and {MAX_QUANTITY}")]
    Quantity,
    /// A price that is not positive, or too large.
    #[error("a line's price must be between 1 and {MAX_AMOUNT} minor units")]
    Price,
    /// Lines of several currencies.
    #[error("all lines of an order must have prices of one currency")]
    MixedCurrencies,
    /// A line or the total is too large.
    #[error("the total is above the largest amount supported, {MAX_AMOUNT} minor units")]
    Overflow,
    /// No country code.
    #[error("the country must be an ISO 3166-1 code of two upper-case letters")]
    Country,
    /// The payment method is blank or too long.
    #[error("the payment method must have 1 to {MAX_PAYMENT_METHOD} characters")]
    PaymentMethod,
    /// Its status doesn't allow the step.
    #[error("an order that is {from} can't become {to}")]
    IllegalTransition {
        /// The status that it has.
        from: OrderStatus,
        /// The status that was asked for.
        to: OrderStatus,
    },
    /// It was paid by another payment, or travels in another shipment.
    #[error("the order belongs to another payment or shipment")]
    OtherReference,
    /// It has left the warehouse: too late to cancel.
    #[error("an order that is {0} can't be cancelled any more; open a return instead")]
    TooLateToCancel(OrderStatus),
    /// It was never fulfilled: nothing to cancel.
    #[error("the order was rejected, so there is nothing to cancel or to return")]
    NothingToCancel,
}

impl DomainError for OrderError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::Exists
            | Self::IllegalTransition { .. }
            | Self::OtherReference
            | Self::TooLateToCancel(_)
            | Self::NothingToCancel => RefusalKind::Conflict,
            Self::Lines
            | Self::Quantity
            | Self::Price
            | Self::MixedCurrencies
            | Self::Overflow
            | Self::Country
            | Self::PaymentMethod => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "order-exists",
            Self::NotFound => "order-not-found",
            Self::Lines => "line-count-out-of-range",
            Self::Quantity => "quantity-out-of-range",
            Self::Price => "price-out-of-range",
            Self::MixedCurrencies => "mixed-currencies",
            Self::Overflow => "amount-overflow",
            Self::Country => "country-malformed",
            Self::PaymentMethod => "payment-method-length",
            Self::IllegalTransition { .. } => "illegal-transition",
            Self::OtherReference => "order-reference-mismatch",
            Self::TooLateToCancel(_) | Self::NothingToCancel => "order-not-cancellable",
        }
    }
}

impl From<MoneyError> for OrderError {
    fn from(error: MoneyError) -> Self {
        match error {
            MoneyError::Overflow => Self::Overflow,
            MoneyError::MixedCurrencies | MoneyError::UnknownCurrency => Self::MixedCurrencies,
        }
    }
}

fn ensure(holds: bool, error: OrderError) -> Result<(), OrderError> {
    if holds { Ok(()) } else { Err(error) }
}

fn place(
    customer_id: Uuid,
    requested: &[RequestedLine],
    payment_method: &str,
    shipping_address: &ShippingAddress,
    parts: Option<OrderParts>,
) -> Result<OrderEvent, OrderError> {
    ensure((1..=MAX_LINES).contains(&requested.len()), OrderError::Lines)?;
    let country = &shipping_address.country;
    ensure(country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()), OrderError::Country)?;
    let method_fits =
        !payment_method.trim().is_empty() && payment_method.chars().count() <= MAX_PAYMENT_METHOD;
    ensure(method_fits, OrderError::PaymentMethod)?;
    let mut total = Money::zero(requested[0].unit_price.currency);
    let mut lines = Vec::with_capacity(requested.len());
    for (line, wanted) in (1..).zip(requested) {
        ensure((1..=MAX_QUANTITY).contains(&wanted.quantity), OrderError::Quantity)?;
        ensure((1..=MAX_AMOUNT).contains(&wanted.unit_price.amount), OrderError::Price)?;
        let line_total = wanted.unit_price.times(wanted.quantity)?;
        total = total.plus(line_total)?;
        lines.push(OrderLine {
            line,
            product_id: wanted.product_id,
            product_version: wanted.product_version,
            sku: wanted.sku.clone(),
            name: wanted.name.clone(),
            quantity: wanted.quantity,
            unit_price: wanted.unit_price,
            line_total,
        });
    }
    Ok(OrderEvent::Placed(OrderPlaced {
        customer_id,
        lines,
        total,
        payment_method: payment_method.to_owned(),
        shipping_address: shipping_address.clone(),
        parts,
    }))
}

crate::cqrs_aggregate!(Order, "order", OrderCommand, OrderEvent, OrderError);

impl Order {
    /// The event when the transition is legal from here; nothing when `holds` says that what it states is so already.
    fn step(&self, to: OrderStatus, holds: bool, event: OrderEvent) -> Result<Vec<OrderEvent>, OrderError> {
        if holds {
            Ok(Vec::new())
        } else if self.status.may_become(to) {
            Ok(vec![event])
        } else {
            Err(OrderError::IllegalTransition { from: self.status, to })
        }
    }

    fn confirm_payment(&self, payment_id: Uuid, shipment_id: Uuid) -> Result<Vec<OrderEvent>, OrderError> {
        let holds = self.status.has_reached(OrderStatus::Paid);
        let same = self.payment_id == Some(payment_id) && self.shipment_id == Some(shipment_id);
        ensure(!holds || same, OrderError::OtherReference)?;
        self.step(OrderStatus::Paid, holds, OrderEvent::Paid(OrderPaid { payment_id, shipment_id }))
    }

    fn mark_shipped(&self, shipment_id: Uuid) -> Result<Vec<OrderEvent>, OrderError> {
        ensure(self.shipment_id.is_none_or(|known| known == shipment_id), OrderError::OtherReference)?;
        let holds = self.status.has_reached(OrderStatus::Shipped);
        self.step(OrderStatus::Shipped, holds, OrderEvent::Shipped(OrderShipped { shipment_id }))
    }

    fn request_cancellation(&self) -> Result<Vec<OrderEvent>, OrderError> {
        match self.status {
            OrderStatus::Cancelled => Ok(Vec::new()),
            OrderStatus::Rejected => Err(OrderError::NothingToCancel),
            status if !status.is_cancellable() => Err(OrderError::TooLateToCancel(status)),
            _ if self.cancellation_requested => Ok(Vec::new()),
            _ => Ok(vec![OrderEvent::CancellationRequested(OrderCancellationRequested {})]),
        }
    }
}

impl Aggregate for Order {
    fn weight(&self) -> usize {
        let lines = self.placed.as_ref().map_or(0, |placed| placed.lines.len());
        size_of::<Self>() + 1_024 + lines * 256
    }

    fn decide(
        &self,
        command: &OrderCommand,
        _context: &DecisionContext,
    ) -> Result<Vec<OrderEvent>, OrderError> {
        if let OrderCommand::Place { customer_id, lines, payment_method, shipping_address, parts } = command {
            ensure(self.placed.is_none(), OrderError::Exists)?;
            return Ok(vec![place(*customer_id, lines, payment_method, shipping_address, *parts)?]);
        }
        ensure(self.placed.is_some(), OrderError::NotFound)?;
        let status = self.status;
        match command {
            // Answered above.
            OrderCommand::Place { .. } => Ok(Vec::new()),
            OrderCommand::ConfirmStock => {
                let holds = status.has_reached(OrderStatus::StockReserved);
                self.step(OrderStatus::StockReserved, holds, OrderEvent::StockReserved(OrderStockReserved {}))
            }
            OrderCommand::MarkPaymentUnknown { payment_id } => {
                let event = OrderEvent::PaymentUnknown(OrderPaymentUnknown { payment_id: *payment_id });
                self.step(OrderStatus::PaymentUnknown, status == OrderStatus::PaymentUnknown, event)
            }
            OrderCommand::ConfirmPayment { payment_id, shipment_id } => {
                self.confirm_payment(*payment_id, *shipment_id)
            }
            OrderCommand::MarkShipped { shipment_id } => self.mark_shipped(*shipment_id),
            OrderCommand::MarkDelivered => {
                let holds = status.has_reached(OrderStatus::Delivered);
                self.step(OrderStatus::Delivered, holds, OrderEvent::Delivered(OrderDelivered {}))
            }
            OrderCommand::Complete => {
                let holds = status.has_reached(OrderStatus::Completed);
                self.step(OrderStatus::Completed, holds, OrderEvent::Completed(OrderCompleted {}))
            }
            OrderCommand::Reject { reason } => {
                let holds = status == OrderStatus::Rejected && self.reason == Some(*reason);
                self.step(
                    OrderStatus::Rejected,
                    holds,
                    OrderEvent::Rejected(OrderRejected { reason: *reason }),
                )
            }
            OrderCommand::RequestCancellation => self.request_cancellation(),
            OrderCommand::RefuseCancellation if self.cancellation_requested => {
                Ok(vec![OrderEvent::CancellationRefused(OrderCancellationRefused {})])
            }
            OrderCommand::RefuseCancellation => Ok(Vec::new()),
            OrderCommand::Cancel { reason } => {
                let holds = status == OrderStatus::Cancelled && self.reason == Some(*reason);
                self.step(
                    OrderStatus::Cancelled,
                    holds,
                    OrderEvent::Cancelled(OrderCancelled { reason: *reason }),
                )
            }
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed(placed) => {
                self.placed = Some(placed.clone());
                self.status = OrderStatus::Pending;
            }
            OrderEvent::StockReserved(_) => self.status = OrderStatus::StockReserved,
            OrderEvent::PaymentUnknown(_) => self.status = OrderStatus::PaymentUnknown,
            OrderEvent::Paid(paid) => {
                self.status = OrderStatus::Paid;
                self.payment_id = Some(paid.payment_id);
                self.shipment_id = Some(paid.shipment_id);
            }
            OrderEvent::Shipped(_) => self.status = OrderStatus::Shipped,
            OrderEvent::Delivered(_) => self.status = OrderStatus::Delivered,
            OrderEvent::Completed(_) => self.status = OrderStatus::Completed,
            OrderEvent::Rejected(rejected) => {
                self.status = OrderStatus::Rejected;
                self.reason = Some(rejected.reason);
                self.cancellation_requested = false;
            }
            OrderEvent::CancellationRequested(_) => self.cancellation_requested = true,
            OrderEvent::CancellationRefused(_) => self.cancellation_requested = false,
            OrderEvent::Cancelled(cancelled) => {
                self.status = OrderStatus::Cancelled;
                self.reason = Some(cancelled.reason);
                self.cancellation_requested = false;
            }
        }
    }

    /// The shape of a GET, without the address; payment and shipment are what a query adds.
    fn answer(&self, meta: &StreamMeta) -> Option<Value> {
        serde_json::to_value(OrderView::of(self, meta)?).ok()
    }
}
