//! How the provider and the carrier are: up, away, or refusing whatever is new. Kept in the books, so a restart changes nothing.

use rusqlite::{Connection, OptionalExtension, params};
use sagas::fulfilment::ports::ProviderError;

use super::{Failure, Simulator};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The payment provider.
    Payments,
    /// The carrier.
    Carrier,
}

impl Who {
    fn as_str(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Carrier => "carrier",
        }
    }
}

/// How one of them is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Switch {
    /// It works.
    #[default]
    Up,
    /// It is away: nothing is carried out.
    Down,
    /// It says no, for good, to whatever it hasn't carried out before.
    Refusing,
}

impl Switch {
    /// Every position.
    pub const ALL: [Self; 3] = [Self::Up, Self::Down, Self::Refusing];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Refusing => "refusing",
        }
    }

    /// The position that a word names.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|switch| switch.as_str() == word)
    }
}

impl Simulator {
    /// How one of them is.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`], here and below.
    pub async fn switch(&self, who: Who) -> Result<Switch, ProviderError> {
        self.run(move |tx, _| read(tx, who)).await
    }

    /// Sets how one of them is from now on.
    ///
    /// # Errors
    /// See above.
    pub async fn turn(&self, who: Who, to: Switch) -> Result<(), ProviderError> {
        self.run(move |tx, _| {
            tx.execute(include_str!("sql/upsert_switch.sql"), params![who.as_str(), to.as_str()])?;
            Ok(())
        })
        .await
    }
}

fn read(tx: &Connection, who: Who) -> Result<Switch, Failure> {
    let word: Option<String> = tx
        .prepare_cached(include_str!("sql/select_switch.sql"))?
        .query_row([who.as_str()], |row| row.get(0))
        .optional()?;
    Ok(word.and_then(|word| Switch::of(&word)).unwrap_or_default())
}

/// Whether it refuses whatever is new.
///
/// # Errors
/// [`ProviderError::Unavailable`] while it is away.
pub(super) fn refuses(tx: &Connection, who: Who) -> Result<bool, Failure> {
    match read(tx, who)? {
        Switch::Up => Ok(false),
        Switch::Refusing => Ok(true),
        Switch::Down => {
            Err(Failure(ProviderError::Unavailable(format!("{} are switched off", who.as_str()))))
        }
    }
}

/// Why what is asked for under a key was refused before.
pub(super) fn refusal(tx: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached(include_str!("sql/select_refusal.sql"))?.query_row([key], |row| row.get(0)).optional()
}

/// Refuses what is asked for under a key, for good.
pub(super) fn refuse(tx: &Connection, key: &str, reason: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(include_str!("sql/insert_refusal.sql"))?.execute(params![key, reason])?;
    Ok(())
}
