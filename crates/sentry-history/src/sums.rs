//! The numbers in a day's item.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use sentry_contract::Outcome;
use sentry_contract::states::MetricsRecord;
use sentry_domain::{Amount, Usd};

/// Names of a day's attributes. Dollars are in picodollars (10⁻¹² dollars).
pub mod attribute {
    /// Decided requests, approved and denied.
    pub const REQUESTS: &str = "requests";
    /// Requests that the budget approved, even if the model did not answer.
    pub const APPROVED: &str = "approved";
    /// Requests that the budget denied.
    pub const DENIED: &str = "denied";
    /// Approved requests that the model did not answer.
    pub const FAILED: &str = "failed";
    /// Approved requests whose usage is known. The tokens and dollars are theirs.
    pub const SETTLED: &str = "settled";
    /// Input tokens that were neither read from nor written to a prompt cache.
    pub const INPUT: &str = "input";
    /// Output tokens of the model.
    pub const OUTPUT: &str = "output";
    /// Input tokens that were read from a prompt cache.
    pub const CACHE_READ: &str = "cacheRead";
    /// Input tokens that were written to a prompt cache.
    pub const CACHE_WRITE: &str = "cacheWrite";
    /// Cost of these tokens in picodollars, as the ledger settles it.
    pub const PICODOLLARS: &str = "picodollars";
    /// Picodollars that the prompt cache saved in calls where it saved something.
    pub const SAVED_PICODOLLARS: &str = "savedPicodollars";
    /// Picodollars that the prompt cache cost in calls where its writes cost more than its reads saved. The net saving
    /// is [`SAVED_PICODOLLARS`] minus this.
    pub const LOST_PICODOLLARS: &str = "lostPicodollars";
    /// Settled requests with tokens whose price is not known exactly.
    pub const UNPRICED: &str = "unpriced";
    /// Input tokens that the settled requests held.
    pub const HELD_INPUT: &str = "heldInput";
    /// Output tokens that the settled requests held.
    pub const HELD_OUTPUT: &str = "heldOutput";
    /// Picodollars that the settled requests held.
    pub const HELD_PICODOLLARS: &str = "heldPicodollars";
    /// Approved requests whose usage nobody knows. The ledger settles them in full.
    pub const UNKNOWN: &str = "unknown";
    /// Input tokens that the requests of [`UNKNOWN`] held.
    pub const UNKNOWN_INPUT: &str = "unknownInput";
    /// Output tokens that the requests of [`UNKNOWN`] held.
    pub const UNKNOWN_OUTPUT: &str = "unknownOutput";
    /// Picodollars that the requests of [`UNKNOWN`] held.
    pub const UNKNOWN_PICODOLLARS: &str = "unknownPicodollars";
}

use attribute as of;

/// Numbers by attribute. An absent attribute is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, u128>);

impl Sums {
    /// The numbers that one request adds.
    #[must_use]
    pub fn of(record: &MetricsRecord) -> Self {
        let mut sums = Self::default();
        sums.add(of::REQUESTS, 1_u64);
        let (counts, code): (&[&str], _) = match record.outcome {
            Outcome::Succeeded => (&[of::APPROVED], None),
            Outcome::InvocationFailed => (&[of::APPROVED, of::FAILED], Some(of::FAILED)),
            // An invalid document is never queued.
            Outcome::Denied | Outcome::Invalid => (&[of::DENIED], Some(of::DENIED)),
        };
        for count in counts {
            sums.add(count, 1_u64);
        }
        if let (Some(kind), Some(code)) = (code, record.code) {
            sums.add(&format!("{kind}#{}", code.name()), 1_u64);
        }
        if counts.contains(&of::APPROVED) {
            sums.spend(record);
        }
        sums
    }

    fn spend(&mut self, record: &MetricsRecord) {
        let hold = record.hold.unwrap_or_default();
        let nothing = record.nothing_spent || record.settlement.as_ref().is_some_and(|late| late.nothing_spent);
        if let Some(usage) = record.usage {
            let (tokens, price) = (usage.tokens, record.model.price.as_ref());
            self.add(of::SETTLED, 1_u64);
            self.add(of::INPUT, tokens.input);
            self.add(of::OUTPUT, tokens.output);
            self.add(of::CACHE_READ, tokens.cache_read);
            self.add(of::CACHE_WRITE, tokens.cache_write);
            self.add(of::PICODOLLARS, Amount::of(&tokens, price).usd.picodollars());
            if price.and_then(|price| price.cost(&tokens)).is_none() {
                self.add(of::UNPRICED, 1_u64);
            }
            if let Some(saved) = price.and_then(|price| price.saved_by_cache(&tokens)) {
                let attribute = if saved.is_negative() { of::LOST_PICODOLLARS } else { of::SAVED_PICODOLLARS };
                self.add(attribute, saved.size().picodollars());
            }
            self.hold(&hold, [of::HELD_INPUT, of::HELD_OUTPUT, of::HELD_PICODOLLARS]);
        } else if !nothing {
            self.add(of::UNKNOWN, 1_u64);
            self.hold(&hold, [of::UNKNOWN_INPUT, of::UNKNOWN_OUTPUT, of::UNKNOWN_PICODOLLARS]);
        }
    }

    fn hold(&mut self, hold: &Amount, [input, output, picodollars]: [&str; 3]) {
        self.add(input, hold.input);
        self.add(output, hold.output);
        self.add(picodollars, hold.usd.picodollars());
    }

    /// Adds `number` to an attribute. Zero does not create an absent attribute.
    pub fn add(&mut self, attribute: &str, number: impl Into<u128>) {
        let number = number.into();
        if number > 0 {
            let sum = self.0.entry(attribute.to_owned()).or_default();
            *sum = sum.saturating_add(number);
        }
    }

    /// The number of an attribute. Zero if it is absent.
    #[must_use]
    pub fn get(&self, attribute: &str) -> u128 {
        self.0.get(attribute).copied().unwrap_or(0)
    }

    /// The attributes that are not zero, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u128)> {
        self.0.iter().map(|(attribute, number)| (attribute.as_str(), *number))
    }

    /// The usage that counts against a budget: known usage, and the holds of requests whose usage is unknown. Denied
    /// requests and requests that used nothing are not included.
    #[must_use]
    pub fn spent(&self) -> Amount {
        let sum = |attributes: &[&str]| attributes.iter().fold(0_u128, |sum, name| sum.saturating_add(self.get(name)));
        let count = |attributes: &[&str]| u64::try_from(sum(attributes)).unwrap_or(u64::MAX);
        Amount {
            input: count(&[of::INPUT, of::CACHE_READ, of::CACHE_WRITE, of::UNKNOWN_INPUT]),
            output: count(&[of::OUTPUT, of::UNKNOWN_OUTPUT]),
            usd: Usd::from_picodollars(sum(&[of::PICODOLLARS, of::UNKNOWN_PICODOLLARS])),
            requests: count(&[of::SETTLED, of::UNKNOWN]),
            in_flight: 0,
        }
    }
}

impl AddAssign<&Self> for Sums {
    fn add_assign(&mut self, other: &Self) {
        for (attribute, number) in other.iter() {
            self.add(attribute, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn of_request(more: Value) -> Vec<(String, u128)> {
        let sums = Sums::of(&crate::decided::tests::record(more));
        sums.iter().map(|(name, number)| (name.to_owned(), number)).collect()
    }

    fn are(sums: Vec<(String, u128)>, expected: &[(&str, u128)]) {
        let mut expected: Vec<_> = expected.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        expected.sort();
        assert_eq!(sums, expected);
    }

    #[test]
    fn an_answer_counts_what_it_used_and_held() {
        let usage = json!({"inputTokens": 350, "outputTokens": 900, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 120_000, "totalTokens": 1});
        let hold = json!({"input": 121_000, "output": 2_000, "usd": "0.5", "requests": 1, "inFlight": 1});
        are(
            of_request(json!({"usage": usage, "hold": hold})),
            &[
                ("requests", 1),
                ("approved", 1),
                ("settled", 1),
                ("input", 350),
                ("output", 900),
                ("cacheRead", 7),
                ("cacheWrite", 120_000),
                ("picodollars", 464_552_100_000),
                // 120,000 written tokens cost 0.75 more than the input rate, and 7 read tokens cost 2.70 less.
                ("lostPicodollars", 89_981_100_000),
                ("heldInput", 121_000),
                ("heldOutput", 2_000),
                ("heldPicodollars", 500_000_000_000),
            ],
        );
    }

    #[test]
    fn a_cache_that_pays_counts_its_saving() {
        let usage = json!({"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 1_000, "cacheWriteInputTokens": 100, "totalTokens": 3});
        let sums = Sums::of(&crate::decided::tests::record(json!({"usage": usage})));
        // 1,000 tokens at 3.00 - 0.30, less 100 tokens at 3.75 - 3.00, in dollars per million.
        assert_eq!((sums.get("savedPicodollars"), sums.get("lostPicodollars")), (2_625_000_000, 0));
    }

    #[test]
    fn a_denial_counts_by_its_code_and_spends_nothing() {
        let denied = json!({"outcome": "Denied", "code": "BudgetExceeded"});
        are(of_request(denied.clone()), &[("requests", 1), ("denied", 1), ("denied#BudgetExceeded", 1)]);
        assert_eq!(Sums::of(&crate::decided::tests::record(denied)).spent(), Amount::ZERO);
    }

    #[test]
    fn a_failure_counts_its_usage_or_its_hold_or_nothing() {
        let hold = json!({"input": 9, "output": 8, "usd": "0.000000000007", "requests": 1, "inFlight": 1});
        let failed = json!({"outcome": "InvocationFailed", "code": "ModelTimeout", "hold": hold});
        let counted = [("requests", 1), ("approved", 1), ("failed", 1), ("failed#ModelTimeout", 1)];
        let unknown = [("unknown", 1), ("unknownInput", 9), ("unknownOutput", 8), ("unknownPicodollars", 7)];
        are(of_request(failed.clone()), &[counted, unknown].concat());
        let spent = Sums::of(&crate::decided::tests::record(failed.clone())).spent();
        let expected = Amount { input: 9, output: 8, usd: Usd::from_picodollars(7), requests: 1, in_flight: 0 };
        assert_eq!(spent, expected);
        let mut released = failed;
        released["nothingSpent"] = true.into();
        are(of_request(released), &counted);
    }

    #[test]
    fn tokens_without_a_price_are_counted_as_unpriced() {
        let usage = json!({"inputTokens": 1, "outputTokens": 2, "totalTokens": 3});
        let mut record = crate::decided::tests::record(json!({"usage": usage}));
        record.model.price = None;
        let sums = Sums::of(&record);
        assert_eq!((sums.get("unpriced"), sums.get("picodollars"), sums.get("output")), (1, 0, 2));
    }

    /// A record with a random outcome and random numbers.
    fn some_request() -> impl Strategy<Value = MetricsRecord> {
        let numbers = prop::array::uniform4(0_u64..1 << 40);
        (0_usize..4, numbers, any::<bool>()).prop_map(|(end, [input, output, read, written], priced)| {
            let usage = json!({"inputTokens": input, "outputTokens": output, "cacheReadInputTokens": read,
                               "cacheWriteInputTokens": written, "totalTokens": 0});
            let hold = json!({"input": read, "output": written, "usd": format!("{}.{:012}", input % 1_000, output % 1_000_000_000_000)});
            let mut record = crate::decided::tests::record(match end {
                0 => json!({"usage": usage, "hold": hold}),
                1 => json!({"outcome": "InvocationFailed", "code": "ModelTimeout", "hold": hold}),
                2 => json!({"outcome": "InvocationFailed", "code": "ModelThrottled", "nothingSpent": true, "hold": hold}),
                _ => json!({"outcome": "Denied", "code": "BudgetReserved"}),
            });
            record.model.price = record.model.price.filter(|_| priced);
            record
        })
    }

    proptest! {
        #[test]
        fn sums_spend_what_their_requests_spend_in_any_order(
            mut requests in prop::collection::vec(some_request(), 0..20)
        ) {
            let sum = |requests: &[MetricsRecord]| {
                let mut sums = Sums::default();
                requests.iter().for_each(|request| sums += &Sums::of(request));
                sums
            };
            let sums = sum(&requests);
            prop_assert_eq!(sums.spent(), requests.iter().map(|request| Sums::of(request).spent()).sum());
            prop_assert_eq!(sums.get(of::REQUESTS), sums.get(of::APPROVED) + sums.get(of::DENIED));
            prop_assert!(sums.get(of::APPROVED) >= sums.get(of::SETTLED) + sums.get(of::UNKNOWN));
            requests.reverse();
            prop_assert_eq!(sum(&requests), sums);
        }
    }
}
