//! Amounts of what a budget counts, and the limits on them.

use std::ops::{Add, Neg, Sub};

use serde::{Deserialize, Serialize};

use crate::money::Usd;
use crate::price::Price;
use crate::tokens::TokenUsage;

/// What a budget can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Tokens read, cached or not.
    Input,
    /// Tokens written.
    Output,
    /// Dollars.
    Usd,
    /// Requests.
    Requests,
    /// Requests in flight at the same time.
    InFlight,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 5] = [Self::Input, Self::Output, Self::Usd, Self::Requests, Self::InFlight];

    /// The unit's name in limits items and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Usd => "usd",
            Self::Requests => "requests",
            Self::InFlight => "inFlight",
        }
    }

    /// What it counts, in a sentence.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Input => "input tokens",
            Self::Output => "output tokens",
            Self::Usd => "US dollars",
            Self::Requests => "requests",
            Self::InFlight => "requests in flight",
        }
    }

    /// A plain number of it (a count, or picodollars) as answers write it: dollars with two decimals or more.
    #[must_use]
    pub fn written(self, plain: u128) -> String {
        match self {
            Self::Usd => Usd::from_picodollars(plain).with_decimals(2),
            _ => plain.to_string(),
        }
    }
}

/// One value for each [`Unit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PerUnit<T> {
    /// For tokens read.
    pub input: T,
    /// For tokens written.
    pub output: T,
    /// For dollars.
    pub usd: T,
    /// For requests.
    pub requests: T,
    /// For requests in flight.
    pub in_flight: T,
}

impl<T> PerUnit<T> {
    /// The value that `of` gives for each unit.
    pub fn from_fn(mut of: impl FnMut(Unit) -> T) -> Self {
        Self {
            input: of(Unit::Input),
            output: of(Unit::Output),
            usd: of(Unit::Usd),
            requests: of(Unit::Requests),
            in_flight: of(Unit::InFlight),
        }
    }

    /// The value of `unit`.
    #[must_use]
    pub const fn get(&self, unit: Unit) -> &T {
        match unit {
            Unit::Input => &self.input,
            Unit::Output => &self.output,
            Unit::Usd => &self.usd,
            Unit::Requests => &self.requests,
            Unit::InFlight => &self.in_flight,
        }
    }

    /// The value of `unit`, to change it.
    pub const fn get_mut(&mut self, unit: Unit) -> &mut T {
        match unit {
            Unit::Input => &mut self.input,
            Unit::Output => &mut self.output,
            Unit::Usd => &mut self.usd,
            Unit::Requests => &mut self.requests,
            Unit::InFlight => &mut self.in_flight,
        }
    }

    /// The units with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Unit, &T)> {
        Unit::ALL.into_iter().map(|unit| (unit, self.get(unit)))
    }

    /// What `of` makes of each value.
    pub fn map<U>(&self, mut of: impl FnMut(&T) -> U) -> PerUnit<U> {
        PerUnit::from_fn(|unit| of(self.get(unit)))
    }

    /// What `of` makes of each value and the other's value of the same unit.
    pub fn zip_with<U, V>(&self, other: &PerUnit<U>, mut of: impl FnMut(&T, &U) -> V) -> PerUnit<V> {
        PerUnit::from_fn(|unit| of(self.get(unit), other.get(unit)))
    }
}

impl Add for PerUnit<i128> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip_with(&other, |one, other| one.saturating_add(*other))
    }
}

impl Sub for PerUnit<i128> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip_with(&other, |one, other| one.saturating_sub(*other))
    }
}

impl Neg for PerUnit<i128> {
    type Output = Self;

    fn neg(self) -> Self {
        self.map(|number| number.saturating_neg())
    }
}

/// An amount of every unit: what a request holds, what a window has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    /// Tokens read, cached or not.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Dollars; zero where the model has no price, which is why such a model cannot pass a limit in dollars.
    pub usd: Usd,
    /// Requests.
    #[serde(default)]
    pub requests: u64,
    /// Requests in flight: 1 in a hold, 0 in what is spent.
    #[serde(default)]
    pub in_flight: u64,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self { input: 0, output: 0, usd: Usd::ZERO, requests: 0, in_flight: 0 };

    /// What one call that used `usage` amounts to, in dollars at `price` if there is one. No request is counted.
    ///
    /// Tokens of a kind whose rate is unknown count at the dearest that is known: never as nothing.
    #[must_use]
    pub fn of(usage: &TokenUsage, price: Option<&Price>) -> Self {
        Self::with_cost(usage, price.map(|price| price.cost_at_most(usage)))
    }

    /// What many calls that together used `usage` amount to, in dollars at the standard rates of `price` if there is one. No request is
    /// counted.
    #[must_use]
    pub fn of_many(usage: &TokenUsage, price: Option<&Price>) -> Self {
        Self::with_cost(usage, price.map(|price| price.cost_of_many(usage)))
    }

    fn with_cost(usage: &TokenUsage, usd: Option<Usd>) -> Self {
        Self { input: usage.read(), output: usage.output, usd: usd.unwrap_or_default(), ..Self::ZERO }
    }

    /// What one request has spent that used `usage`.
    #[must_use]
    pub fn of_request(usage: &TokenUsage, price: Option<&Price>) -> Self {
        Self { requests: 1, ..Self::of(usage, price) }
    }

    /// What is spent if all of a hold was used: a request that has ended is not in flight.
    #[must_use]
    pub const fn spent_in_full(self) -> Self {
        Self { in_flight: 0, ..self }
    }

    /// The amount of `unit` as a plain number: a count, or picodollars.
    #[must_use]
    pub fn get(&self, unit: Unit) -> u128 {
        match unit {
            Unit::Input => self.input.into(),
            Unit::Output => self.output.into(),
            Unit::Usd => self.usd.picodollars(),
            Unit::Requests => self.requests.into(),
            Unit::InFlight => self.in_flight.into(),
        }
    }

    /// The amount as plain numbers, for differences.
    #[must_use]
    pub fn signed(&self) -> PerUnit<i128> {
        PerUnit::from_fn(|unit| i128::try_from(self.get(unit)).unwrap_or(i128::MAX))
    }

    /// The amount that has these numbers; what is below zero is zero.
    #[must_use]
    pub fn unsigned(numbers: &PerUnit<i128>) -> Self {
        let count = |number: i128| u64::try_from(number.max(0)).unwrap_or(u64::MAX);
        let usd = Usd::from_picodollars(u128::try_from(numbers.usd.max(0)).unwrap_or_default());
        Self {
            input: count(numbers.input),
            output: count(numbers.output),
            usd,
            requests: count(numbers.requests),
            in_flight: count(numbers.in_flight),
        }
    }

    /// The larger of both in every unit.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            usd: self.usd.max(other.usd),
            requests: self.requests.max(other.requests),
            in_flight: self.in_flight.max(other.in_flight),
        }
    }

    /// What is left of every unit after taking `other` away, never below zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_sub(other.input),
            output: self.output.saturating_sub(other.output),
            usd: self.usd.saturating_sub(other.usd),
            requests: self.requests.saturating_sub(other.requests),
            in_flight: self.in_flight.saturating_sub(other.in_flight),
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
            requests: self.requests.saturating_add(other.requests),
            in_flight: self.in_flight.saturating_add(other.in_flight),
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
#[serde(rename_all = "camelCase")]
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
    /// Requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Requests in flight at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
}

impl Limits {
    /// The limit on `unit` as a plain number: a count, or picodollars.
    #[must_use]
    pub fn get(&self, unit: Unit) -> Option<u128> {
        match unit {
            Unit::Input => self.input.map(u128::from),
            Unit::Output => self.output.map(u128::from),
            Unit::Usd => self.usd.map(Usd::picodollars),
            Unit::Requests => self.requests.map(u128::from),
            Unit::InFlight => self.in_flight.map(u128::from),
        }
    }

    /// The units that are limited, each with its limit as a plain number.
    pub fn iter(&self) -> impl Iterator<Item = (Unit, u128)> + use<> {
        let limits = *self;
        Unit::ALL.into_iter().filter_map(move |unit| Some((unit, limits.get(unit)?)))
    }

    /// Which units are limited.
    #[must_use]
    pub fn limited(&self) -> PerUnit<bool> {
        PerUnit::from_fn(|unit| self.get(unit).is_some())
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The larger limit of both in every unit that this one limits.
    #[must_use]
    pub fn raised_to(&self, other: &Self) -> Self {
        Self {
            input: self.input.map(|limit| limit.max(other.input.unwrap_or(0))),
            output: self.output.map(|limit| limit.max(other.output.unwrap_or(0))),
            usd: self.usd.map(|limit| limit.max(other.usd.unwrap_or_default())),
            requests: self.requests.map(|limit| limit.max(other.requests.unwrap_or(0))),
            in_flight: self.in_flight.map(|limit| limit.max(other.in_flight.unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_count_as_input() {
        let usage =
            TokenUsage { input: 350, output: 900, cache_read: 10, cache_write: 120_000, ..TokenUsage::default() };
        assert_eq!(Amount::of(&usage, None), Amount { input: 120_360, output: 900, ..Amount::ZERO });
    }

    #[test]
    fn only_the_units_that_are_limited_are_listed() {
        let limits = Limits { input: Some(0), usd: Some(Usd::from_picodollars(7)), ..Limits::default() };
        assert_eq!(limits.iter().collect::<Vec<_>>(), [(Unit::Input, 0), (Unit::Usd, 7)]);
        assert!(Limits::default().is_empty());
    }
}
