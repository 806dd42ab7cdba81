//! Amounts of what a budget counts, and the limits on them.

use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::money::{Price, Usd};
use crate::tokens::TokenUsage;

/// What a budget can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Tokens read, cached or not.
    Input,
    /// Tokens written.
    Output,
    /// Dollars.
    Usd,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 3] = [Self::Input, Self::Output, Self::Usd];

    /// The unit's name in limits items and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Usd => "usd",
        }
    }

    /// What it counts, in a sentence.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Input => "input tokens",
            Self::Output => "output tokens",
            Self::Usd => "US dollars",
        }
    }

    /// A plain number of it (tokens, or picodollars) as answers write it: dollars with two decimals or more.
    #[must_use]
    pub fn written(self, plain: u128) -> String {
        match self {
            Self::Input | Self::Output => plain.to_string(),
            Self::Usd => Usd::from_picodollars(plain).with_decimals(2),
        }
    }
}

/// An amount of every unit: what a request holds, what a window has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amount {
    /// Tokens read, cached or not.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Dollars; zero where the model has no price, which is why such a model cannot pass a limit in dollars.
    pub usd: Usd,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self { input: 0, output: 0, usd: Usd::ZERO };

    /// What `usage` amounts to, in dollars at `price` if there is one.
    ///
    /// Tokens of a kind whose rate is unknown count at the dearest that is known: never as nothing.
    #[must_use]
    pub fn of(usage: &TokenUsage, price: Option<&Price>) -> Self {
        let dearest = |price: &Price| price.most_for_input(usage.read()) + price.output.times(usage.output);
        let usd = price.map(|price| price.cost(usage).unwrap_or_else(|| dearest(price))).unwrap_or_default();
        Self { input: usage.read(), output: usage.output, usd }
    }

    /// The amount of `unit` as a plain number: tokens, or picodollars.
    #[must_use]
    pub fn get(&self, unit: Unit) -> u128 {
        match unit {
            Unit::Input => self.input.into(),
            Unit::Output => self.output.into(),
            Unit::Usd => self.usd.picodollars(),
        }
    }

    /// The larger of both in every unit.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { input: self.input.max(other.input), output: self.output.max(other.output), usd: self.usd.max(other.usd) }
    }

    /// What is left of every unit after taking `other` away, never below zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_sub(other.input),
            output: self.output.saturating_sub(other.output),
            usd: self.usd.saturating_sub(other.usd),
        }
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            usd: self.usd + other.usd,
        }
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// What a window allows; a unit that is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Tokens read, cached or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Tokens written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<Usd>,
}

impl Limits {
    /// The limit on `unit` as a plain number: tokens, or picodollars.
    #[must_use]
    pub fn get(&self, unit: Unit) -> Option<u128> {
        match unit {
            Unit::Input => self.input.map(u128::from),
            Unit::Output => self.output.map(u128::from),
            Unit::Usd => self.usd.map(Usd::picodollars),
        }
    }

    /// The units that are limited, each with its limit as a plain number.
    pub fn iter(&self) -> impl Iterator<Item = (Unit, u128)> + use<> {
        let limits = *self;
        Unit::ALL.into_iter().filter_map(move |unit| Some((unit, limits.get(unit)?)))
    }

    /// Which units are limited, in the order of [`Unit::ALL`].
    #[must_use]
    pub fn limited(&self) -> [bool; 3] {
        Unit::ALL.map(|unit| self.get(unit).is_some())
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_count_as_input() {
        let usage = TokenUsage { input: 350, output: 900, cache_read: 10, cache_write: 120_000 };
        assert_eq!(Amount::of(&usage, None), Amount { input: 120_360, output: 900, usd: Usd::ZERO });
    }

    #[test]
    fn only_the_units_that_are_limited_are_listed() {
        let limits = Limits { input: Some(0), output: None, usd: Some(Usd::from_picodollars(7)) };
        assert_eq!(limits.iter().collect::<Vec<_>>(), [(Unit::Input, 0), (Unit::Usd, 7)]);
        assert!(Limits::default().is_empty());
    }
}
