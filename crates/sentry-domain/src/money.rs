//! Exact dollars. A price is per million tokens and has at most six decimals. The price of a single token is therefore
//! a whole number of picodollars, and no amount is ever rounded. Only a discount rounds: it rounds the rate of a token
//! once, up to a whole picodollar.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Picodollars in a dollar, as a power of ten.
const SCALE: u32 = 12;
/// Minimum number of decimals that an amount shows, as in `0.000588800`.
const SHOWN_DECIMALS: usize = 9;
/// Largest amount that is accepted, in dollars. Its picodollars fit in a decimal of 96 bits.
const MOST_DOLLARS: u64 = 9_007_199_254;

/// An exact amount of US dollars, in picodollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u128);

impl Usd {
    /// Zero dollars, also the default.
    pub const ZERO: Self = Self(0);

    /// The amount of `picodollars` × 10⁻¹² dollars.
    #[must_use]
    pub const fn from_picodollars(picodollars: u128) -> Self {
        Self(picodollars)
    }

    /// The amount in units of 10⁻¹² dollars.
    #[must_use]
    pub const fn picodollars(self) -> u128 {
        self.0
    }

    /// The rest after subtracting `other`, never below zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The difference to `other`. It is negative if `other` is larger.
    #[must_use]
    pub const fn minus(self, other: Self) -> UsdDifference {
        UsdDifference { size: Self(self.0.abs_diff(other.0)), is_negative: self.0 < other.0 }
    }

    /// Decimal dollars with at least `decimals` decimals, or more if the amount has more.
    #[must_use]
    pub fn with_decimals(self, decimals: usize) -> String {
        let one = 10_u128.pow(SCALE);
        let fraction = format!("{:012}", self.0 % one);
        let significant = fraction.trim_end_matches('0').len().max(decimals);
        format!("{}.{}", self.0 / one, fraction.get(..significant).unwrap_or(&fraction))
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// Decimal dollars with nine decimals, or more if the amount has more.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_decimals(SHOWN_DECIMALS))
    }
}

/// The error for a text that is not an amount of dollars.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no amount of dollars: a decimal such as 100.00, not negative, at most 12 decimals, at most 9007199254"
)]
pub struct InvalidUsd(String);

impl FromStr for Usd {
    type Err = InvalidUsd;

    fn from_str(text: &str) -> Result<Self, InvalidUsd> {
        let invalid = || InvalidUsd(text.to_owned());
        let dollars = Decimal::from_str_exact(text).map_err(|_| invalid())?;
        if dollars.is_sign_negative() && !dollars.is_zero() || dollars > Decimal::from(MOST_DOLLARS) {
            return Err(invalid());
        }
        let picodollars = (dollars * Decimal::from(10_u64.pow(SCALE))).normalize();
        if picodollars.scale() != 0 {
            return Err(invalid());
        }
        u128::try_from(picodollars).map(Self).map_err(|_| invalid())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An exact difference of two amounts of US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsdDifference {
    size: Usd,
    /// `false` if `size` is zero.
    is_negative: bool,
}

impl UsdDifference {
    /// The amount without its sign.
    #[must_use]
    pub const fn size(self) -> Usd {
        self.size
    }

    /// `true` if the difference is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.is_negative
    }
}

/// The amount, after a `-` if the difference is negative.
impl fmt::Display for UsdDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        write!(f, "{sign}{}", self.size)
    }
}

impl FromStr for UsdDifference {
    type Err = InvalidUsd;

    fn from_str(text: &str) -> Result<Self, InvalidUsd> {
        let positive = text.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
        let size: Usd = positive.unwrap_or(text).parse()?;
        Ok(Self { size, is_negative: positive.is_some() && size != Usd::ZERO })
    }
}

impl<'de> Deserialize<'de> for UsdDifference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for UsdDifference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The error for a text that is not a price.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a price: dollars per million tokens as a decimal string such as \"0.80\", not negative, at most 6 decimals, below 1000000"
)]
pub struct InvalidRate(String);

/// Dollars per million tokens, stored as picodollars per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    /// The cost of `tokens` at this rate.
    #[must_use]
    pub fn times(self, tokens: u64) -> Usd {
        Usd(u128::from(self.0) * u128::from(tokens))
    }

    /// The rate net of `discount`, rounded up to a whole picodollar per token.
    #[must_use]
    pub fn less(self, discount: Discount) -> Self {
        let left = u128::from(self.0) * u128::from(Discount::WHOLE - discount.0);
        Self(u64::try_from(left.div_ceil(u128::from(Discount::WHOLE))).unwrap_or(self.0))
    }

    /// The number of tokens that `budget` pays for. [`u64::MAX`] if they cost nothing.
    #[must_use]
    pub fn affordable(self, budget: Usd) -> u64 {
        budget.0.checked_div(self.0.into()).map_or(u64::MAX, |tokens| u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let invalid = || InvalidRate(text.to_owned());
        let dollars = Decimal::from_str_exact(text).map_err(|_| invalid())?;
        if dollars.is_sign_negative() || dollars >= Decimal::from(1_000_000) {
            return Err(invalid());
        }
        let picodollars_a_token = (dollars * Decimal::from(1_000_000)).normalize();
        if picodollars_a_token.scale() != 0 {
            return Err(invalid());
        }
        u64::try_from(picodollars_a_token).map(Self).map_err(|_| invalid())
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Dollars per million tokens, in the format that is parsed.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One picodollar per token is a millionth of a dollar per million tokens.
        f.write_str(&Usd(u128::from(self.0) * 1_000_000).with_decimals(2))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The error for a text that is not a discount.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no discount: a percentage such as 12.5, not negative, below 100, at most 2 decimals")]
pub struct InvalidDiscount(String);

/// An account's discount on the price list, in hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discount(u16);

impl Discount {
    /// 100 %, in hundredths of a percent.
    const WHOLE: u16 = 10_000;
    /// Number of decimals of a percentage.
    const DECIMALS: u32 = 2;

    /// `true` if the account pays list prices.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Discount {
    type Err = InvalidDiscount;

    fn from_str(text: &str) -> Result<Self, InvalidDiscount> {
        let invalid = || InvalidDiscount(text.to_owned());
        let percent = Decimal::from_str_exact(text).map_err(|_| invalid())?;
        if percent.is_sign_negative() && !percent.is_zero() || percent >= Decimal::ONE_HUNDRED {
            return Err(invalid());
        }
        let hundredths = (percent * Decimal::from(10_u16.pow(Self::DECIMALS))).normalize();
        if hundredths.scale() != 0 {
            return Err(invalid());
        }
        u16::try_from(hundredths).map(Self).map_err(|_| invalid())
    }
}

/// The percentage without trailing zeros: `10`, `12.5`.
impl fmt::Display for Discount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal::new(self.0.into(), Self::DECIMALS).normalize().fmt(f)
    }
}

impl<'de> Deserialize<'de> for Discount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Discount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nine_decimals_are_shown_and_more_where_there_are_more() {
        assert_eq!(Usd::from_picodollars(588_800_000).to_string(), "0.000588800");
        assert_eq!(Usd::from_picodollars(8_750).to_string(), "0.00000000875");
        assert_eq!(Usd::ZERO.to_string(), "0.000000000");
        assert_eq!(Usd::from_picodollars(12_000_000_000_001).to_string(), "12.000000000001");
    }

    #[test]
    fn a_price_that_is_no_price_is_refused_by_its_text() {
        for text in ["", "-1", "1e3", "0.0000001", "1000000", "three", " 3"] {
            let refused = text.parse::<Rate>().unwrap_err();
            assert!(refused.to_string().contains(&format!("{text:?}")), "{refused}");
        }
    }

    #[test]
    fn an_amount_is_read_exactly_or_refused() {
        let picodollars = |text: &str| text.parse::<Usd>().map(Usd::picodollars).ok();
        assert_eq!(picodollars("100"), Some(100_000_000_000_000));
        assert_eq!(picodollars("0.000000000001"), Some(1));
        assert_eq!(picodollars("9007199254"), Some(9_007_199_254_000_000_000_000));
        for text in ["", "-1", "1e3", "0.0000000000001", "9007199255", "ten"] {
            assert_eq!(picodollars(text), None, "{text}");
        }
    }

    #[test]
    fn a_difference_has_a_sign_only_if_it_is_negative() {
        let difference = |one, other| Usd::from_picodollars(one).minus(Usd::from_picodollars(other)).to_string();
        assert_eq!(difference(588_800_000, 0), "0.000588800");
        assert_eq!(difference(0, 8_750), "-0.00000000875");
        assert_eq!(difference(7, 7), "0.000000000");
        let read = |text: &str| text.parse::<UsdDifference>().map(|difference| difference.to_string()).ok();
        assert_eq!(read("-0").as_deref(), Some("0.000000000"));
        for text in ["", "-", "--1", "--0", "+-1", "- 1", "-ten"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn an_affordable_number_can_be_paid_and_one_more_cannot() {
        let (rate, budget) = ("0.80".parse::<Rate>().unwrap(), Usd::from_picodollars(8_000_001));
        let tokens = rate.affordable(budget);
        assert!(rate.times(tokens) <= budget && rate.times(tokens + 1) > budget);
        assert_eq!("0".parse::<Rate>().unwrap().affordable(budget), u64::MAX);
    }

    #[test]
    fn a_discount_is_a_percentage_below_100_with_two_decimals_at_most() {
        let written = |text: &str| text.parse::<Discount>().map(|discount| discount.to_string()).ok();
        let cases = [("0", "0"), ("10", "10"), ("12.50", "12.5"), ("0.01", "0.01"), ("99.99", "99.99"), ("5.000", "5")];
        for (text, expected) in cases {
            assert_eq!(written(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "-1", "100", "0.001", "ten", "10%", " 5", "1e1"] {
            assert_eq!(written(text), None, "{text}");
        }
        assert!(Discount::default().is_none());
    }

    proptest! {
        #[test]
        fn a_discount_takes_off_its_share_and_rounds_up_by_less_than_a_picodollar(
            rate in 0_u64..1_000_000_000_000,
            hundredths in 0_u16..10_000,
        ) {
            let net = u128::from(Rate(rate).less(Discount(hundredths)).0) * 10_000;
            let exact = u128::from(rate) * u128::from(10_000 - hundredths);
            prop_assert!(exact <= net && net < exact + 10_000);
            let discount = Discount(hundredths);
            prop_assert_eq!(discount.to_string().parse::<Discount>().unwrap(), discount);
        }

        #[test]
        fn every_amount_is_read_back(picodollars in 0_u128..9_000_000_000_000_000_000_000) {
            let amount = Usd::from_picodollars(picodollars);
            prop_assert_eq!(amount.to_string().parse::<Usd>().unwrap(), amount);
        }

        #[test]
        fn every_difference_is_read_back(one in 0_u128..9_000_000_000_000_000_000, other in 0_u128..9_000_000_000_000_000_000) {
            let difference = Usd::from_picodollars(one).minus(Usd::from_picodollars(other));
            prop_assert_eq!(difference.to_string().parse::<UsdDifference>().unwrap(), difference);
            prop_assert_eq!(difference.to_string().starts_with('-'), one < other);
        }

        #[test]
        fn every_rate_is_read_back(picodollars in 0_u64..1_000_000_000_000) {
            let rate = Rate(picodollars);
            prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        }
    }
}
