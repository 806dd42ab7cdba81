//! Whether a request fits, how much of it, and if not, whether waiting helps. No I/O.

use sentry_contract::states::ScopeLimit;
use sentry_domain::{Amount, Price, Unit, Usd};

use crate::figures::Figures;

/// The least that is asked of a model where the sentry chooses `max_tokens`: fewer tokens are no answer.
pub const LEAST_OUTPUT_TOKENS: u32 = 16;

/// How long a request is expected to hold where none has been settled yet, in milliseconds.
const USUAL_MS: i64 = 2_000;

/// What a request asks of its budget.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// No more input tokens than these.
    pub input_tokens: u64,
    /// Most tokens to write if they fit.
    pub max_tokens: u32,
    /// Whether the client wants `max_tokens` and no fewer.
    pub given: bool,
    /// The model's price, if it has one.
    pub price: Option<&'a Price>,
    /// The limits that apply; those in dollars only where there is a price.
    pub limits: &'a [ScopeLimit],
    /// What CloudWatch has seen of the model, for the first limit.
    pub seen: Amount,
}

/// What the figures say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fits, with so many tokens to write.
    Fits(u32),
    /// It does not.
    Denied(Shortage),
}

/// Where a request does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which of the limits.
    pub place: usize,
    /// The unit that is short.
    pub unit: Unit,
    /// The least that the request needs of it: tokens or picodollars.
    pub needed: u128,
    /// What there is, holds taken off: tokens or picodollars.
    pub remaining: u128,
    /// Seconds after which it may fit because holds have been settled; `None` when it would not fit without them either.
    pub retry_after_seconds: Option<u64>,
}

impl Ask<'_> {
    /// What is held for the request if the model may write `max_tokens`.
    #[must_use]
    pub fn hold(&self, max_tokens: u32) -> Amount {
        let usd =
            self.price.map(|price| price.most_for_input(self.input_tokens) + price.output.times(max_tokens.into()));
        Amount { input: self.input_tokens, output: max_tokens.into(), usd: usd.unwrap_or_default() }
    }

    /// What CloudWatch has seen of the limit at `place`: it knows models only, and the model's limit is the first.
    #[must_use]
    pub fn seen_of(&self, place: usize) -> Amount {
        if place == 0 { self.seen } else { Amount::ZERO }
    }

    /// The fewest tokens to write that are worth asking for.
    fn least(&self) -> u32 {
        if self.given { self.max_tokens } else { self.max_tokens.min(LEAST_OUTPUT_TOKENS) }
    }

    /// Judges the request by the figures of its limits, one for each.
    #[must_use]
    pub fn judge(&self, figures: &[Figures], now_ms: i64) -> Verdict {
        let most = self
            .limits
            .iter()
            .zip(figures)
            .enumerate()
            .map(|(place, (limit, figures))| self.most_output(place, limit, figures))
            .min();
        let most = most.unwrap_or(u64::MAX).min(self.max_tokens.into());
        let fitting = u32::try_from(most).unwrap_or(self.max_tokens);
        match self.shortage(figures, now_ms) {
            None if self.given => Verdict::Fits(self.max_tokens),
            None => Verdict::Fits(fitting.max(self.least())),
            Some(shortage) => Verdict::Denied(shortage),
        }
    }

    /// How many tokens could be written within one limit.
    fn most_output(&self, place: usize, limit: &ScopeLimit, figures: &Figures) -> u64 {
        let room = |unit| figures.room(limit, self.seen_of(place), unit);
        let tokens = room(Unit::Output).map_or(u64::MAX, |room| u64::try_from(room).unwrap_or(u64::MAX));
        let paid = match (room(Unit::Usd), self.price) {
            (Some(room), Some(price)) => {
                let left = Usd::from_picodollars(room).saturating_sub(price.most_for_input(self.input_tokens));
                price.output.affordable(left)
            }
            _ => u64::MAX,
        };
        tokens.min(paid)
    }

    /// Where even the least request does not fit: first a limit where waiting does not help, else the one to wait for longest.
    fn shortage(&self, figures: &[Figures], now_ms: i64) -> Option<Shortage> {
        let mut longest: Option<Shortage> = None;
        for (place, (limit, figures)) in self.limits.iter().zip(figures).enumerate() {
            let Some(mut short) = self.short_of(place, limit, figures) else { continue };
            let alone = Figures { held: Amount::ZERO, ..figures.clone() };
            if self.short_of(place, limit, &alone).is_some() {
                return Some(short);
            }
            let until_reset = limit.window.resets_at.timestamp_millis() - now_ms;
            let wait = self.wait_ms(place, limit, figures, now_ms).min(until_reset);
            short.retry_after_seconds = Some(u64::try_from(wait).unwrap_or_default().div_ceil(1_000).max(1));
            if longest.as_ref().is_none_or(|other| other.retry_after_seconds < short.retry_after_seconds) {
                longest = Some(short);
            }
        }
        longest
    }

    /// The first unit of one limit that is too short for the least request.
    fn short_of(&self, place: usize, limit: &ScopeLimit, figures: &Figures) -> Option<Shortage> {
        let least = self.hold(self.least());
        Unit::ALL.into_iter().find_map(|unit| {
            let (remaining, needed) = (figures.room(limit, self.seen_of(place), unit)?, least.get(unit));
            // A limit of 0 allows nothing, also nothing that is free; a spent one no request that is free either.
            (needed > remaining || remaining == 0).then_some(Shortage {
                place,
                unit,
                needed,
                remaining,
                retry_after_seconds: None,
            })
        })
    }

    /// Milliseconds until so many holds should be settled that the least request fits, if they use next to nothing.
    fn wait_ms(&self, place: usize, limit: &ScopeLimit, figures: &Figures, now_ms: i64) -> i64 {
        let mut ends: Vec<(i64, Amount)> = figures
            .holds
            .values()
            .map(|hold| (expected_end(hold.taken_ms, hold.expires_ms, figures.mean_ms, now_ms), hold.amount))
            .collect();
        ends.sort_unstable_by_key(|(end, _)| *end);
        let mut left = figures.clone();
        let mut wait = USUAL_MS;
        for (end, amount) in ends {
            left.held = left.held.saturating_sub(amount);
            wait = end - now_ms;
            if self.short_of(place, limit, &left).is_none() {
                break;
            }
        }
        wait
    }
}

/// When a hold should be settled: after the usual time, or, when it already lasts longer, after half as long again.
fn expected_end(taken_ms: i64, expires_ms: i64, mean_ms: Option<u64>, now_ms: i64) -> i64 {
    let usual = mean_ms.and_then(|mean| i64::try_from(mean).ok()).unwrap_or(USUAL_MS);
    let age = now_ms.saturating_sub(taken_ms).max(0);
    let lasts = if age < usual { usual } else { age.saturating_add(age / 2) };
    taken_ms.saturating_add(lasts).min(expires_ms).max(now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Hold;
    use sentry_contract::states::LimitWindow;
    use sentry_domain::Limits;

    const NOW: i64 = 1_795_000_000_000;

    fn limit(scope: &str, limits: Limits) -> ScopeLimit {
        let window = LimitWindow {
            name: "2026-11".into(),
            key: "2026-11".into(),
            start: "2026-11-01T00:00:00Z".parse().unwrap(),
            resets_at: "2026-12-01T00:00:00Z".parse().unwrap(),
        };
        ScopeLimit {
            scope: scope.into(),
            source: "model".into(),
            item: scope.into(),
            window,
            limits,
            alert_at: vec![],
            shards: 1,
        }
    }

    fn outputs(limits: &[u64]) -> Vec<ScopeLimit> {
        limits.iter().map(|most| limit("s", Limits { output: Some(*most), ..Limits::default() })).collect()
    }

    fn ask(limits: &[ScopeLimit], max_tokens: u32, given: bool) -> Ask<'_> {
        Ask { input_tokens: 10, max_tokens, given, price: None, limits, seen: Amount::ZERO }
    }

    fn figures(settled: u64, holds: &[(u64, i64)]) -> Figures {
        let hold = |(amount, age): &(u64, i64)| Hold {
            amount: Amount { output: *amount, ..Amount::ZERO },
            taken_ms: NOW - age,
            expires_ms: NOW - age + 360_000,
            owner: String::new(),
        };
        Figures {
            settled: Amount { output: settled, ..Amount::ZERO },
            held: Amount { output: holds.iter().map(|(amount, _)| amount).sum(), ..Amount::ZERO },
            holds: holds.iter().enumerate().map(|(number, each)| (number.to_string(), hold(each))).collect(),
            mean_ms: None,
        }
    }

    fn shortage(verdict: Verdict) -> Shortage {
        match verdict {
            Verdict::Denied(shortage) => shortage,
            Verdict::Fits(tokens) => panic!("fits with {tokens}"),
        }
    }

    #[test]
    fn what_the_client_wants_fits_or_is_denied_but_never_lowered() {
        let limits = outputs(&[100]);
        assert_eq!(ask(&limits, 60, true).judge(&[figures(40, &[])], NOW), Verdict::Fits(60));
        let short = shortage(ask(&limits, 61, true).judge(&[figures(40, &[])], NOW));
        assert_eq!((short.needed, short.remaining, short.retry_after_seconds), (61, 60, None));
    }

    #[test]
    fn where_the_client_does_not_say_the_sentry_asks_for_what_is_left() {
        let limits = outputs(&[100, 90]);
        let ask = ask(&limits, 2_048, false);
        assert_eq!(ask.judge(&[figures(0, &[]), figures(0, &[])], NOW), Verdict::Fits(90));
        assert_eq!(ask.judge(&[figures(84, &[]), figures(0, &[])], NOW), Verdict::Fits(16));
        assert_eq!(shortage(ask.judge(&[figures(85, &[]), figures(0, &[])], NOW)).retry_after_seconds, None);
    }

    #[test]
    fn waiting_helps_where_the_holds_alone_are_in_the_way() {
        let limits = outputs(&[100]);
        let short = shortage(ask(&limits, 50, true).judge(&[figures(50, &[(50, 500)])], NOW));
        assert_eq!((short.remaining, short.retry_after_seconds), (0, Some(2)));
        let short = shortage(ask(&limits, 51, true).judge(&[figures(50, &[(50, 500)])], NOW));
        assert_eq!(short.retry_after_seconds, None);
    }

    #[test]
    fn the_wait_is_until_enough_holds_should_be_settled() {
        let limits = outputs(&[100]);
        let known = |mean_ms| Figures { mean_ms: Some(mean_ms), ..figures(0, &[(40, 9_000), (50, 1_000)]) };
        let wait = |tokens, mean| shortage(ask(&limits, tokens, true).judge(&[known(mean)], NOW)).retry_after_seconds;
        assert_eq!(wait(50, 10_000), Some(1));
        assert_eq!(wait(60, 10_000), Some(9));
        // Both last longer than usual: half as long again.
        assert_eq!((wait(60, 500), wait(61, 500)), (Some(1), Some(5)));
    }

    #[test]
    fn a_limit_in_dollars_bounds_the_tokens_that_can_be_paid() {
        let price: Price = serde_json::from_str(r#"{"input": "3", "output": "15"}"#).unwrap();
        let limits = [limit("s", Limits { usd: "0.003".parse().ok(), ..Limits::default() })];
        let ask = Ask { price: Some(&price), ..ask(&limits, 2_048, false) };
        // 10 input tokens take 0.00003 of it, 198 output tokens 0.00297.
        assert_eq!(ask.judge(&[Figures::default()], NOW), Verdict::Fits(198));
        assert_eq!(ask.hold(198).usd.to_string(), "0.003000000");
    }

    #[test]
    fn a_limit_of_zero_allows_nothing() {
        let limits = [limit("s", Limits { input: Some(0), ..Limits::default() })];
        let short = shortage(ask(&limits, 1, true).judge(&[Figures::default()], NOW));
        assert_eq!((short.unit, short.retry_after_seconds), (Unit::Input, None));
    }

    #[test]
    fn what_cloudwatch_has_seen_counts_for_the_model_only() {
        let limits = outputs(&[100, 100]);
        let ask = Ask { seen: Amount { output: 70, ..Amount::ZERO }, ..ask(&limits, 2_048, false) };
        assert_eq!(ask.judge(&[figures(20, &[]), figures(40, &[])], NOW), Verdict::Fits(30));
    }
}
