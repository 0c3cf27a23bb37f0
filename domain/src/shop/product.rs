//! Products: what the shop sells and at what price. Stream type `product`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::money::Money;
use crate::refusal::{DomainError, RefusalKind};

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

crate::events! {
    /// What can happen to a product.
    pub enum ProductEvent {
        /// It was added to the catalogue.
        "product.created" 2 => Created(ProductCreated),
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
