//! Products: what the shop sells and at what price. Stream type `product`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::event::serialize_wire_time;
use crate::money::{MAX_AMOUNT, Money};
use crate::refusal::{DomainError, RefusalKind};

/// The longest article number, in characters.
pub const MAX_SKU: usize = 64;
/// The longest name, in characters.
pub const MAX_NAME: usize = 200;
/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 10_000;
/// The longest category, in characters.
pub const MAX_CATEGORY: usize = 100;
/// The most attributes a product may have.
pub const MAX_ATTRIBUTES: usize = 50;
/// The longest name of an attribute, in characters.
pub const MAX_ATTRIBUTE_NAME: usize = 100;
/// The longest value of an attribute, in characters.
pub const MAX_ATTRIBUTE_VALUE: usize = 1000;

/// What a product is, without its price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductDetails {
    /// The merchant's own article number.
    pub sku: String,
    /// The name shown to customers.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The category that search facets count.
    pub category: String,
    /// Further properties, by name.
    pub attributes: BTreeMap<String, String>,
}

/// A command for a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProductCommand {
    /// Adds it to the catalogue.
    Create {
        /// What it is.
        details: ProductDetails,
        /// The price of one.
        price: Money,
    },
    /// Replaces what it is and its price.
    Update {
        /// What it is from now on.
        details: ProductDetails,
        /// The price of one from now on.
        price: Money,
    },
    /// Takes it out of the catalogue: it can't be ordered any more.
    Discontinue,
}

/// `product.created` 2. Version 1 had `price_cents` and `currency` instead of `price`, and no `attributes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductCreated {
    /// What it is.
    pub details: ProductDetails,
    /// The price of one.
    pub price: Money,
}

/// `product.updated` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductUpdated {
    /// What it is from now on.
    pub details: ProductDetails,
}

/// `product.price_changed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductPriceChanged {
    /// The price until now.
    pub old_price: Money,
    /// The price from now on.
    pub price: Money,
}

/// `product.discontinued` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductDiscontinued {}

/// Version 1 had the price as `price_cents` and `currency`, and its details had no attributes. What is missing stays missing:
/// decoding then names it.
fn created_1(mut payload: Value) -> Value {
    if let Some(fields) = payload.as_object_mut()
        && let (Some(amount), Some(currency)) = (fields.remove("price_cents"), fields.remove("currency"))
    {
        fields.insert("price".to_owned(), json!({"amount": amount, "currency": currency}));
    }
    if let Some(details) = payload.get_mut("details").and_then(Value::as_object_mut) {
        details.entry("attributes").or_insert_with(|| json!({}));
    }
    payload
}

crate::events! {
    /// What can happen to a product.
    pub enum ProductEvent {
        /// It was added to the catalogue.
        "product.created" 2 upcast(created_1) => Created(ProductCreated),
        /// What it is has changed.
        "product.updated" 1 => Updated(ProductUpdated),
        /// Its price has changed.
        "product.price_changed" 1 => PriceChanged(ProductPriceChanged),
        /// It was taken out of the catalogue.
        "product.discontinued" 1 => Discontinued(ProductDiscontinued),
    }
}

/// A product's state; `None` fields before it is created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// What it is.
    pub details: Option<ProductDetails>,
    /// The price of one.
    pub price: Option<Money>,
    /// It can't be ordered any more.
    pub discontinued: bool,
}

/// Why a command for a product is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// It was created before.
    #[error("the product exists already")]
    Exists,
    /// It was never created.
    #[error("there is no such product")]
    NotFound,
    /// It is out of the catalogue.
    #[error("the product is discontinued")]
    Discontinued,
    /// The article number is blank or too long.
    #[error("the sku must have 1 to {MAX_SKU} characters")]
    Sku,
    /// The name is blank or too long.
    #[error("the name must have 1 to {MAX_NAME} characters")]
    Name,
    /// The description is too long.
    #[error("the description must have at most {MAX_DESCRIPTION} characters")]
    Description,
    /// The category is blank or too long.
    #[error("the category must have 1 to {MAX_CATEGORY} characters")]
    Category,
    /// Too many attributes.
    #[error("a product can have at most {MAX_ATTRIBUTES} attributes")]
    Attributes,
    /// An attribute's name is blank or too long.
    #[error("an attribute's name must have 1 to {MAX_ATTRIBUTE_NAME} characters")]
    AttributeName,
    /// An attribute's value is too long.
    #[error("an attribute's value must have at most {MAX_ATTRIBUTE_VALUE} characters")]
    AttributeValue,
    /// The price is not positive, or too large.
    #[error("the price must be between 1 and {MAX_AMOUNT} minor units")]
    Price,
}

impl DomainError for ProductError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::Exists | Self::Discontinued => RefusalKind::Conflict,
            _ => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "product-exists",
            Self::NotFound => "product-not-found",
            Self::Discontinued => "product-discontinued",
            Self::Sku => "sku-length",
            Self::Name => "name-length",
            Self::Description => "description-length",
            Self::Category => "category-length",
            Self::Attributes => "too-many-attributes",
            Self::AttributeName => "attribute-name-length",
            Self::AttributeValue => "attribute-value-length",
            Self::Price => "price-out-of-range",
        }
    }
}

fn ensure(holds: bool, error: ProductError) -> Result<(), ProductError> {
    if holds { Ok(()) } else { Err(error) }
}

/// Not blank, and at most `max` characters (not bytes).
fn named(text: &str, max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= max
}

fn check(details: &ProductDetails, price: Money) -> Result<(), ProductError> {
    ensure(named(&details.sku, MAX_SKU), ProductError::Sku)?;
    ensure(named(&details.name, MAX_NAME), ProductError::Name)?;
    ensure(details.description.chars().count() <= MAX_DESCRIPTION, ProductError::Description)?;
    ensure(named(&details.category, MAX_CATEGORY), ProductError::Category)?;
    ensure(details.attributes.len() <= MAX_ATTRIBUTES, ProductError::Attributes)?;
    for (name, value) in &details.attributes {
        ensure(named(name, MAX_ATTRIBUTE_NAME), ProductError::AttributeName)?;
        ensure(value.chars().count() <= MAX_ATTRIBUTE_VALUE, ProductError::AttributeValue)?;
    }
    ensure((1..=MAX_AMOUNT).contains(&price.amount), ProductError::Price)
}

crate::cqrs_aggregate!(Product, "product", ProductCommand, ProductEvent, ProductError);

impl Product {
    /// What and how much it is; refused for a product that can't be changed.
    fn on_sale(&self) -> Result<(&ProductDetails, Money), ProductError> {
        let (Some(details), Some(price)) = (&self.details, self.price) else {
            return Err(ProductError::NotFound);
        };
        if self.discontinued { Err(ProductError::Discontinued) } else { Ok((details, price)) }
    }
}

impl Aggregate for Product {
    fn weight(&self) -> usize {
        let texts = self.details.as_ref().map_or(0, |details| {
            let attributes = details.attributes.iter().map(|(name, value)| name.len() + value.len() + 96);
            details.description.len() + attributes.sum::<usize>()
        });
        size_of::<Self>() + 1_024 + texts
    }

    fn decide(
        &self,
        command: &ProductCommand,
        _context: &DecisionContext,
    ) -> Result<Vec<ProductEvent>, ProductError> {
        match command {
            ProductCommand::Create { .. } if self.details.is_some() => Err(ProductError::Exists),
            ProductCommand::Create { details, price } => {
                check(details, *price)?;
                Ok(vec![ProductEvent::Created(ProductCreated { details: details.clone(), price: *price })])
            }
            ProductCommand::Update { details, price } => {
                let (old_details, old_price) = self.on_sale()?;
                check(details, *price)?;
                let mut events = Vec::new();
                if details != old_details {
                    events.push(ProductEvent::Updated(ProductUpdated { details: details.clone() }));
                }
                if *price != old_price {
                    events.push(ProductEvent::PriceChanged(ProductPriceChanged { old_price, price: *price }));
                }
                Ok(events)
            }
            ProductCommand::Discontinue if self.discontinued => Ok(Vec::new()),
            ProductCommand::Discontinue => {
                self.on_sale()?;
                Ok(vec![ProductEvent::Discontinued(ProductDiscontinued {})])
            }
        }
    }

    fn evolve(&mut self, event: &ProductEvent) {
        match event {
            ProductEvent::Created(created) => {
                self.details = Some(created.details.clone());
                self.price = Some(created.price);
            }
            ProductEvent::Updated(updated) => self.details = Some(updated.details.clone()),
            ProductEvent::PriceChanged(changed) => self.price = Some(changed.price),
            ProductEvent::Discontinued(_) => self.discontinued = true,
        }
    }

    fn answer(&self, meta: &StreamMeta) -> Option<Value> {
        let details = self.details.clone()?;
        let view = ProductView {
            id: meta.stream.id().parse().ok()?,
            sku: details.sku,
            name: details.name,
            description: details.description,
            category: details.category,
            attributes: details.attributes,
            price: self.price?,
            discontinued: self.discontinued,
            version: meta.version,
            created_at: meta.created_at,
            updated_at: meta.updated_at,
        };
        serde_json::to_value(view).ok()
    }
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Product)]
pub struct ProductView {
    /// Its id.
    pub id: Uuid,
    /// The merchant's own article number.
    pub sku: String,
    /// The name shown to customers.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The category that search facets count.
    pub category: String,
    /// Further properties, by name.
    pub attributes: BTreeMap<String, String>,
    /// The price of one.
    pub price: Money,
    /// It can't be ordered any more.
    pub discontinued: bool,
    /// The stream's version, which `ETag` begins with.
    pub version: u64,
    /// When it was created.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests;
