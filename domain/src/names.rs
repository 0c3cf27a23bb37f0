//! The names that the shop's plain enums have on the wire and in stored events.

/// A text that names none of a type's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not {what}")]
pub struct UnknownName {
    /// What it should have named: `an order status`.
    pub what: &'static str,
    /// The text, cut to 60 characters.
    pub name: String,
}

/// Gives an enum `ALL`, `as_str`, `Display` and `FromStr`. Written out rather than taken from serde, so that the names are
/// constants; a test holds both together.
macro_rules! wire_names {
    ($type:ident, $what:literal, { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::names::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::ALL.into_iter().find(|value| value.as_str() == name).ok_or_else(|| {
                    $crate::names::UnknownName { what: $what, name: name.chars().take(60).collect() }
                })
            }
        }
    };
}
pub(crate) use wire_names;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::identity::user::Role;
    use crate::ordering::order::{EndReason, OrderStatus};
    use crate::payments::payment::{DeclineReason, PaymentStatus};
    use crate::shipping::shipment::ShipmentStatus;

    macro_rules! names_are_those_of_serde {
        ($($type:ident),+) => {$(
            for value in $type::ALL {
                assert_eq!(serde_json::to_value(value).unwrap(), Value::from(value.as_str()));
                assert_eq!(value.as_str().parse(), Ok(value));
            }
            assert!("nothing".parse::<$type>().is_err());
        )+};
    }

    #[test]
    fn the_names_are_those_of_stored_events() {
        names_are_those_of_serde!(OrderStatus, EndReason, PaymentStatus, DeclineReason, ShipmentStatus, Role);
    }
}
