//! Amounts of the units that a budget counts, and limits on them.

use std::ops::{Add, Neg, Sub};

use serde::{Deserialize, Serialize};

use crate::money::Usd;
use crate::price::Price;
use crate::tokens::TokenUsage;

/// A unit that a budget can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Tokens read, cached or not.
    Input,
    /// Tokens that the model writes.
    Output,
    /// Cost in US dollars.
    Usd,
    /// The number of requests.
    Requests,
    /// Requests in flight at the same time.
    InFlight,
}

impl Unit {
    /// Every unit, in order of declaration.
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

    /// The unit's name in messages, such as `input tokens`.
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

    /// Formats a plain number of this unit (a count, or picodollars) as answers do. Dollars have two decimals or more.
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
    /// The value for [`Unit::Input`].
    pub input: T,
    /// The value for [`Unit::Output`].
    pub output: T,
    /// The value for [`Unit::Usd`].
    pub usd: T,
    /// The value for [`Unit::Requests`].
    pub requests: T,
    /// The value for [`Unit::InFlight`].
    pub in_flight: T,
}

impl<T> PerUnit<T> {
    /// Calls `of` once for each unit and keeps its values.
    pub fn from_fn(mut of: impl FnMut(Unit) -> T) -> Self {
        Self {
            input: of(Unit::Input),
            output: of(Unit::Output),
            usd: of(Unit::Usd),
            requests: of(Unit::Requests),
            in_flight: of(Unit::InFlight),
        }
    }

    /// The value for `unit`.
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

    /// Mutable access to the value for `unit`.
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

    /// Applies `of` to each value.
    pub fn map<U>(&self, mut of: impl FnMut(&T) -> U) -> PerUnit<U> {
        PerUnit::from_fn(|unit| of(self.get(unit)))
    }

    /// Applies `of` to each value and the value of `other` for the same unit.
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

/// An amount of every unit, such as the hold of a request or the usage in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    /// Tokens read, cached or not.
    pub input: u64,
    /// Tokens that the model writes.
    pub output: u64,
    /// Dollars. Zero if the model has no price; therefore a limit in dollars denies such a model.
    pub usd: Usd,
    /// The number of requests.
    #[serde(default)]
    pub requests: u64,
    /// Requests in flight: 1 in a hold, 0 in a spent amount.
    #[serde(default)]
    pub in_flight: u64,
}

impl Amount {
    /// Zero of every unit.
    pub const ZERO: Self = Self { input: 0, output: 0, usd: Usd::ZERO, requests: 0, in_flight: 0 };

    /// The amount of one call that used `usage`, in dollars at `price` if there is one. `requests` is 0.
    ///
    /// If a needed rate is unknown, all prompt tokens count at the highest known rate, never as zero.
    #[must_use]
    pub fn of(usage: &TokenUsage, price: Option<&Price>) -> Self {
        Self::with_cost(usage, price.map(|price| price.cost_at_most(usage)))
    }

    /// The amount of many calls that together used `usage`, in dollars at the standard rates of `price` if there is
    /// one. `requests` is 0.
    #[must_use]
    pub fn of_many(usage: &TokenUsage, price: Option<&Price>) -> Self {
        Self::with_cost(usage, price.map(|price| price.cost_of_many(usage)))
    }

    fn with_cost(usage: &TokenUsage, usd: Option<Usd>) -> Self {
        Self { input: usage.read(), output: usage.output, usd: usd.unwrap_or_default(), ..Self::ZERO }
    }

    /// The amount that one request has spent if it used `usage`. `requests` is 1.
    #[must_use]
    pub fn of_request(usage: &TokenUsage, price: Option<&Price>) -> Self {
        Self { requests: 1, ..Self::of(usage, price) }
    }

    /// The amount that is spent if a hold is used in full. `in_flight` is 0, because the request has ended.
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

    /// The amount as signed plain numbers, for differences.
    #[must_use]
    pub fn signed(&self) -> PerUnit<i128> {
        PerUnit::from_fn(|unit| i128::try_from(self.get(unit)).unwrap_or(i128::MAX))
    }

    /// The amount with these numbers. A number below zero becomes zero.
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

    /// The larger of both amounts, for every unit.
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

    /// The rest of every unit after subtracting `other`, never below zero.
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

/// The limits of a window. A unit that is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Tokens read, cached or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Tokens that the model writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Cost in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<Usd>,
    /// The number of requests.
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

    /// `true` for each unit that is limited.
    #[must_use]
    pub fn limited(&self) -> PerUnit<bool> {
        PerUnit::from_fn(|unit| self.get(unit).is_some())
    }

    /// `true` if no unit is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The larger of both limits, for every unit that `self` limits.
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
