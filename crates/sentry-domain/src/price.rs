//! Prices of models.
//!
//! A price has a rate for each kind of token. Another set of rates can apply to all tokens of a call: above a prompt
//! length, or on another service tier. A hold uses the highest rates that can apply. A settlement uses the rates that
//! did apply.

use serde::{Deserialize, Serialize};

use crate::money::{Discount, Rate, Usd, UsdDifference};
use crate::tokens::{CacheTtl, ServiceTier, TokenUsage};

/// Dollars per million tokens of each kind. An unknown rate is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rates {
    /// Prompt tokens that are neither read from a cache nor written to one.
    pub input: Rate,
    /// Tokens that the model writes.
    pub output: Rate,
    /// Prompt tokens read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Rate>,
    /// Prompt tokens written to a cache with a lifetime of five minutes, Bedrock's default.
    #[serde(rename = "cacheWrite5m", skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Rate>,
    /// Prompt tokens written to a cache with a lifetime of one hour.
    #[serde(rename = "cacheWrite1h", skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Rate>,
}

impl Rates {
    /// The exact cost of `usage`. `None` if it has tokens of a kind whose rate is unknown, because an unknown rate is
    /// never zero.
    fn cost(&self, usage: &TokenUsage) -> Option<Usd> {
        let known = |rate: Option<Rate>, tokens: u64| match (rate, tokens) {
            (_, 0) => Some(Usd::ZERO),
            (Some(rate), tokens) => Some(rate.times(tokens)),
            (None, _) => None,
        };
        [
            known(Some(self.input), usage.input),
            known(Some(self.output), usage.output),
            known(self.cache_read, usage.cache_read),
            known(self.cache_write_5m, usage.cache_write_5m()),
            known(self.cache_write_1h, usage.cache_write_1h),
        ]
        .into_iter()
        .sum()
    }

    /// The most that reading `tokens` can cost, at the highest known rate for prompt tokens.
    #[must_use]
    pub fn most_for_input(&self, tokens: u64) -> Usd {
        let rates = [Some(self.input), self.cache_read, self.cache_write_5m, self.cache_write_1h];
        rates.into_iter().flatten().max().map(|rate| rate.times(tokens)).unwrap_or_default()
    }

    /// The higher of both rates, for each kind of token.
    fn dearer(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write_5m: self.cache_write_5m.max(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.max(other.cache_write_1h),
        }
    }

    /// Removes the rates of cache writes that a request with cache points of at most `longest` lifetime cannot make.
    fn without_writes_beyond(self, longest: Option<CacheTtl>) -> Self {
        Self {
            cache_write_5m: self.cache_write_5m.filter(|_| longest.is_some()),
            cache_write_1h: self.cache_write_1h.filter(|_| longest == Some(CacheTtl::OneHour)),
            ..self
        }
    }

    /// Sets the rate of cache writes of five minutes to the input rate if it is unknown.
    fn with_writes_at_input(self) -> Self {
        Self { cache_write_5m: self.cache_write_5m.or(Some(self.input)), ..self }
    }

    fn less(self, discount: Discount) -> Self {
        let net = |rate: Option<Rate>| rate.map(|rate| rate.less(discount));
        Self {
            input: self.input.less(discount),
            output: self.output.less(discount),
            cache_read: net(self.cache_read),
            cache_write_5m: net(self.cache_write_5m),
            cache_write_1h: net(self.cache_write_1h),
        }
    }
}

/// The rates of calls with long prompts. They apply to every token of the call.
///
/// Source: Amazon Bedrock pricing, "long context"; Claude Docs, "Long context pricing"
/// (platform.claude.com/docs/en/about-claude/pricing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LongContext {
    /// Threshold in tokens read, cached or not. The rates apply to calls that read more.
    pub above: u64,
    /// The rates above the threshold.
    pub rates: Rates,
}

/// The rates of service tiers other than the standard one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierRates {
    /// Rates on the tier `flex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex: Option<Rates>,
    /// Rates on the tier `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Rates>,
}

impl TierRates {
    const fn is_empty(&self) -> bool {
        self.flex.is_none() && self.priority.is_none()
    }
}

/// The properties of a request that decide which rates can apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charges {
    /// The requested tier. Bedrock may still process the request on the standard tier.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tier: ServiceTier,
    /// The longest lifetime of the prompt's cache points. Absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheTtl>,
}

impl Charges {
    /// `true` if only the standard rates can apply.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_default(tier: &ServiceTier) -> bool {
    *tier == ServiceTier::Default
}

/// The price of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Document", into = "Document")]
pub struct Price {
    /// The rates of the standard tier, below the long-context threshold.
    pub rates: Rates,
    /// The rates of long prompts, if they differ.
    pub long_context: Option<LongContext>,
    /// The rates of other service tiers, as far as they are known.
    pub tiers: TierRates,
    /// The discount that is already subtracted from all rates. Absent if they are list prices.
    pub discount_percent: Option<Discount>,
}

impl From<Rates> for Price {
    fn from(rates: Rates) -> Self {
        Self { rates, long_context: None, tiers: TierRates::default(), discount_percent: None }
    }
}

impl Price {
    /// The list price, net of `discount`. Each rate is rounded up to a whole picodollar per token.
    #[must_use]
    pub fn less(self, discount: Discount) -> Self {
        if discount.is_none() {
            return self;
        }
        let net = |rates: Option<Rates>| rates.map(|rates| rates.less(discount));
        Self {
            rates: self.rates.less(discount),
            long_context: self.long_context.map(|long| LongContext { rates: long.rates.less(discount), ..long }),
            tiers: TierRates { flex: net(self.tiers.flex), priority: net(self.tiers.priority) },
            discount_percent: Some(discount),
        }
    }

    /// The price of a model whose cache writes of five minutes cost the input rate. Rates that are known stay.
    #[must_use]
    pub fn with_writes_at_input(self) -> Self {
        let Self { rates, long_context, tiers, discount_percent } = self;
        Self {
            rates: rates.with_writes_at_input(),
            long_context: long_context.map(|long| LongContext { rates: long.rates.with_writes_at_input(), ..long }),
            tiers: TierRates {
                flex: tiers.flex.map(Rates::with_writes_at_input),
                priority: tiers.priority.map(Rates::with_writes_at_input),
            },
            discount_percent,
        }
    }

    /// The price of a request with `charges`, without the rates of tiers that cannot process it. `None` if the
    /// requested tier has no known rates.
    #[must_use]
    pub fn for_charges(self, charges: Charges) -> Option<Self> {
        let tiers = match charges.tier {
            ServiceTier::Default => TierRates::default(),
            ServiceTier::Flex => TierRates { flex: Some(self.tiers.flex?), priority: None },
            ServiceTier::Priority => TierRates { flex: None, priority: Some(self.tiers.priority?) },
            ServiceTier::Reserved => return None,
        };
        Some(Self { tiers, ..self })
    }

    /// The exact cost of one call that used `usage`, at the rates of its prompt length and of its tier.
    ///
    /// `None` if a needed rate is unknown, because an unknown price is never zero.
    #[must_use]
    pub fn cost(&self, usage: &TokenUsage) -> Option<Usd> {
        self.applied(usage)?.cost(usage)
    }

    /// The saving by the prompt cache in one call that used `usage`: the cost of the cached tokens at the input rate of
    /// the call's prompt length and tier, minus their actual cost. It is negative if cache writes cost more than cache
    /// reads saved.
    ///
    /// `None` if the call read and wrote no cached tokens, or if a needed rate is unknown.
    #[must_use]
    pub fn saved_by_cache(&self, usage: &TokenUsage) -> Option<UsdDifference> {
        let rates = self.applied(usage)?;
        let cached = TokenUsage { input: 0, output: 0, ..*usage };
        let cost = rates.cost(&cached)?;
        (cached.read() > 0).then(|| rates.input.times(cached.read()).minus(cost))
    }

    /// The cost of one call that used `usage`. If a needed rate is unknown, all prompt tokens cost the highest known
    /// rate.
    #[must_use]
    pub fn cost_at_most(&self, usage: &TokenUsage) -> Usd {
        self.cost(usage).unwrap_or_else(|| {
            let charges = Charges { tier: usage.tier, cache: Some(CacheTtl::OneHour) };
            self.most(usage.read(), usage.output, charges)
        })
    }

    /// The cost of many calls that together used `usage`, at the standard rates, because neither lengths nor tiers are
    /// known. If a needed rate is unknown, all prompt tokens cost the highest known rate.
    #[must_use]
    pub fn cost_of_many(&self, usage: &TokenUsage) -> Usd {
        let rates = &self.rates;
        rates.cost(usage).unwrap_or_else(|| rates.most_for_input(usage.read()) + rates.output.times(usage.output))
    }

    /// The most that a call can cost if it reads at most `input` tokens and writes at most `output`.
    #[must_use]
    pub fn most(&self, input: u64, output: u64, charges: Charges) -> Usd {
        let rates = self.dearest(input, charges);
        rates.most_for_input(input) + rates.output.times(output)
    }

    /// The highest rates that can apply to a call with `charges` that reads at most `input` tokens.
    #[must_use]
    pub fn dearest(&self, input: u64, charges: Charges) -> Rates {
        let long = self.long_context.filter(|long| input > long.above).map(|long| long.rates);
        let tier = self.tier(charges.tier);
        let dearest = [long, tier].into_iter().flatten().fold(self.rates, Rates::dearer);
        dearest.without_writes_beyond(charges.cache)
    }

    /// The rates of a tier other than the standard one, if they are known.
    const fn tier(&self, tier: ServiceTier) -> Option<Rates> {
        match tier {
            ServiceTier::Flex => self.tiers.flex,
            ServiceTier::Priority => self.tiers.priority,
            ServiceTier::Default | ServiceTier::Reserved => None,
        }
    }

    /// The rates that apply to a call that used `usage`. On the standard tier, the length of the prompt decides. On
    /// another tier, that tier's rates apply. No public price list has rates for long prompts on other tiers, so above
    /// the threshold each kind of token costs the higher of the two rates.
    fn applied(&self, usage: &TokenUsage) -> Option<Rates> {
        let long = self.long_context.filter(|long| usage.read() > long.above).map(|long| long.rates);
        match (usage.tier, long) {
            (ServiceTier::Default, long) => Some(long.unwrap_or(self.rates)),
            (tier, None) => self.tier(tier),
            (tier, Some(long)) => self.tier(tier).map(|rates| rates.dearer(long)),
        }
    }
}

/// The form of a price in documents: the standard rates, and beside them the rates that can replace them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    input: Rate,
    output: Rate,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read: Option<Rate>,
    #[serde(rename = "cacheWrite5m", skip_serializing_if = "Option::is_none")]
    cache_write_5m: Option<Rate>,
    #[serde(rename = "cacheWrite1h", skip_serializing_if = "Option::is_none")]
    cache_write_1h: Option<Rate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    long_context: Option<LongContext>,
    #[serde(default, skip_serializing_if = "TierRates::is_empty")]
    tiers: TierRates,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    discount_percent: Option<Discount>,
}

impl From<Document> for Price {
    fn from(document: Document) -> Self {
        let Document { input, output, cache_read, cache_write_5m, cache_write_1h, .. } = document;
        let rates = Rates { input, output, cache_read, cache_write_5m, cache_write_1h };
        let Document { long_context, tiers, discount_percent, .. } = document;
        Self { rates, long_context, tiers, discount_percent }
    }
}

impl From<Price> for Document {
    fn from(price: Price) -> Self {
        let Price { rates, long_context, tiers, discount_percent } = price;
        let Rates { input, output, cache_read, cache_write_5m, cache_write_1h } = rates;
        Self { input, output, cache_read, cache_write_5m, cache_write_1h, long_context, tiers, discount_percent }
    }
}

#[cfg(test)]
mod tests;
