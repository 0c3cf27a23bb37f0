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

/// Gives an enum `ALL`, `as_str`, `Display`, `FromStr` and its way into a text. Written out rather than taken from serde, so that the names are
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

        impl From<$type> for &'static str {
            fn from(value: $type) -> Self {
                value.as_str()
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
