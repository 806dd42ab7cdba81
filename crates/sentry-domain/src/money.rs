//! Exact dollars. A price is per million tokens with at most six decimals, so the price of a single token is a whole number
//! of picodollars and no amount is ever rounded. Only a discount rounds: once, the rate of a token, up to a whole picodollar.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::tokens::TokenUsage;

/// Picodollars in a dollar.
const SCALE: u32 = 12;
/// Decimals that an amount shows at least, as `0.000588800`.
const SHOWN_DECIMALS: usize = 9;
/// Largest amount that is read, in dollars: with its picodollars it fits a decimal of 96 bits.
const MOST_DOLLARS: u64 = 9_007_199_254;

/// An exact amount of US dollars, in picodollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u128);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `picodollars` × 10⁻¹² dollars.
    #[must_use]
    pub const fn from_picodollars(picodollars: u128) -> Self {
        Self(picodollars)
    }

    /// The amount in units of 10⁻¹² dollars.
    #[must_use]
    pub const fn picodollars(self) -> u128 {
        self.0
    }

    /// What is left after taking `other` away, never below zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Decimal dollars with at least `decimals` decimals, or more where the amount has more.
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

/// Decimal dollars with nine decimals, or more where the amount has more.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_decimals(SHOWN_DECIMALS))
    }
}

/// Why a text is no amount of dollars.
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

/// Why a price cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a price: dollars per million tokens as a decimal string such as \"0.80\", not negative, at most 6 decimals, below 1000000"
)]
pub struct InvalidRate(String);

/// Dollars per million tokens, as picodollars a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// What `tokens` cost.
    #[must_use]
    pub fn times(self, tokens: u64) -> Usd {
        Usd(u128::from(self.0) * u128::from(tokens))
    }

    /// The rate that is left after `discount`, rounded up to a whole picodollar a token.
    #[must_use]
    pub fn less(self, discount: Discount) -> Self {
        let left = u128::from(self.0) * u128::from(Discount::WHOLE - discount.0);
        Self(u64::try_from(left.div_ceil(u128::from(Discount::WHOLE))).unwrap_or(self.0))
    }

    /// How many tokens `budget` pays for; without end where they cost nothing.
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

/// Dollars per million tokens, as they are read.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Picodollars a token are millionths of a dollar per million tokens.
        f.write_str(&Usd(u128::from(self.0) * 1_000_000).with_decimals(2))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no discount.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no discount: a percentage such as 12.5, not negative, below 100, at most 2 decimals")]
pub struct InvalidDiscount(String);

/// An account's discount on the price list, in hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discount(u16);

impl Discount {
    /// All of a price.
    const WHOLE: u16 = 10_000;
    /// Hundredths in a percent, as a decimal's scale.
    const DECIMALS: u32 = 2;

    /// Whether the list's prices are those of the account.
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

/// The percentage without needless decimals: `10`, `12.5`.
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

/// What a model costs, in dollars per million tokens of each kind; a component that is not known is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// Prompt tokens from no cache.
    pub input: Rate,
    /// Tokens written by the model.
    pub output: Rate,
    /// Prompt tokens read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Rate>,
    /// Prompt tokens written to a cache that lives five minutes, Bedrock's default.
    #[serde(rename = "cacheWrite5m", skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Rate>,
    /// Prompt tokens written to a cache that lives one hour.
    #[serde(rename = "cacheWrite1h", skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Rate>,
    /// The discount that the rates are net of; absent where they are the price list's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_percent: Option<Discount>,
}

impl Price {
    /// The price list's price, net of `discount`. The rate of each kind is rounded up to a whole picodollar a token.
    #[must_use]
    pub fn less(self, discount: Discount) -> Self {
        if discount.is_none() {
            return self;
        }
        let net = |rate: Option<Rate>| rate.map(|rate| rate.less(discount));
        Self {
            input: self.input.less(discount),
            output: self.output.less(discount),
            cache_read: net(self.cache_read),
            cache_write_5m: net(self.cache_write_5m),
            cache_write_1h: net(self.cache_write_1h),
            discount_percent: Some(discount),
        }
    }

    /// The exact cost of `usage`, cache writes at the five-minute rate.
    ///
    /// `None` when `usage` has tokens of a kind whose rate is unknown: an unknown price is never zero.
    #[must_use]
    pub fn cost(&self, usage: &TokenUsage) -> Option<Usd> {
        let known = |rate: Option<Rate>, tokens: u64| match (rate, tokens) {
            (_, 0) => Some(Usd::ZERO),
            (Some(rate), tokens) => Some(rate.times(tokens)),
            (None, _) => None,
        };
        [
            known(Some(self.input), usage.input),
            known(Some(self.output), usage.output),
            known(self.cache_read, usage.cache_read),
            known(self.cache_write_5m, usage.cache_write),
        ]
        .into_iter()
        .sum()
    }

    /// The most that [`cost`](Self::cost) can make of `tokens` read: at the dearest rate that it may apply to them.
    #[must_use]
    pub fn most_for_input(&self, tokens: u64) -> Usd {
        let rates = [Some(self.input), self.cache_read, self.cache_write_5m];
        rates.into_iter().flatten().map(|rate| rate.times(tokens)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sonnet_4() -> Price {
        serde_json::from_str(
            r#"{"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite5m": "3.75", "cacheWrite1h": "6"}"#,
        )
        .unwrap()
    }

    fn usage(input: u64, output: u64, cache_read: u64, cache_write: u64) -> TokenUsage {
        TokenUsage { input, output, cache_read, cache_write }
    }

    #[test]
    fn the_published_check_value_is_met_exactly() {
        let written = sonnet_4().cost(&usage(350, 900, 0, 120_000)).unwrap();
        let read = sonnet_4().cost(&usage(350, 900, 120_000, 0)).unwrap();
        assert_eq!((written.to_string().as_str(), read.to_string().as_str()), ("0.464550000", "0.050550000"));
    }

    #[test]
    fn nine_decimals_are_shown_and_more_where_there_are_more() {
        let haiku = Price { input: "0.80".parse().unwrap(), output: "4".parse().unwrap(), ..sonnet_4() };
        assert_eq!(haiku.cost(&usage(21, 143, 0, 0)).unwrap().to_string(), "0.000588800");
        assert_eq!(Usd::from_picodollars(8_750).to_string(), "0.00000000875");
        assert_eq!(Usd::ZERO.to_string(), "0.000000000");
        assert_eq!(Usd::from_picodollars(12_000_000_000_001).to_string(), "12.000000000001");
    }

    #[test]
    fn tokens_of_a_kind_without_a_rate_have_no_cost_rather_than_none_to_pay() {
        let price = Price { cache_read: None, ..sonnet_4() };
        assert_eq!(price.cost(&usage(1, 1, 1, 0)), None);
        assert!(price.cost(&usage(1, 1, 0, 0)).is_some());
    }

    #[test]
    fn a_price_that_is_no_price_is_refused_by_its_text() {
        for text in ["", "-1", "1e3", "0.0000001", "1000000", "three", " 3"] {
            let refused = text.parse::<Rate>().unwrap_err();
            assert!(refused.to_string().contains(&format!("{text:?}")), "{refused}");
        }
        assert!(serde_json::from_str::<Price>(r#"{"input": 3, "output": "15"}"#).is_err());
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
    fn the_bound_on_input_is_no_less_than_any_mix_of_its_kinds_costs() {
        let price = sonnet_4();
        for mix in [usage(100, 0, 0, 0), usage(0, 0, 100, 0), usage(0, 0, 0, 100), usage(30, 0, 30, 40)] {
            assert!(price.cost(&mix).unwrap() <= price.most_for_input(100));
        }
    }

    #[test]
    fn what_is_affordable_can_be_paid_and_one_more_cannot() {
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

    #[test]
    fn a_price_is_net_of_the_discount_in_every_kind_and_says_so() {
        let net = sonnet_4().less("10".parse().unwrap());
        let expected = r#"{"input": "2.70", "output": "13.50", "cacheRead": "0.27", "cacheWrite5m": "3.375", "cacheWrite1h": "5.40",
                           "discountPercent": "10"}"#;
        assert_eq!(net, serde_json::from_str(expected).unwrap());
        assert_eq!(sonnet_4().less(Discount::default()), sonnet_4());
        // 0.000001 dollars a million tokens is one picodollar a token: nothing is left to take off.
        let least: Rate = "0.000001".parse().unwrap();
        assert_eq!(least.less("99.99".parse().unwrap()), least);
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
        fn every_rate_is_read_back(picodollars in 0_u64..1_000_000_000_000) {
            let rate = Rate(picodollars);
            prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        }

        #[test]
        fn cost_is_additive_and_never_rounded(a in 0_u64..10_000_000, b in 0_u64..10_000_000) {
            let (price, both) = (sonnet_4(), usage(a + b, a + b, a + b, a + b));
            let parts = price.cost(&usage(a, a, a, a)).unwrap() + price.cost(&usage(b, b, b, b)).unwrap();
            prop_assert_eq!(price.cost(&both).unwrap(), parts);
        }
    }
}
