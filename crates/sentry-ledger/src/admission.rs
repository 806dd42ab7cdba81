//! Judges whether a request fits its budgets, how many tokens it gets, and if it does not fit, whether waiting helps.
//! No I/O.

use sentry_domain::{Amount, Charges, Enforcement, Price, Remedy, ScopeLimit, Unit, Usd};

use crate::figures::Figures;

/// The smallest `max_tokens` that the sentry chooses or lowers to, unless the client asks for fewer. A shorter answer
/// is of no use.
pub const LEAST_OUTPUT_TOKENS: u32 = 16;

/// The expected duration of a hold, in milliseconds, if no hold of the scope has been settled yet.
const USUAL_MS: i64 = 2_000;

/// A limit, and the usage that CloudWatch has seen in its window.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    /// The limit of one scope and window.
    pub limit: &'a ScopeLimit,
    /// Tokens and dollars that CloudWatch has seen. Zero for a scope that CloudWatch does not know.
    pub seen: Amount,
}

/// The amounts that a request asks for, and the budgets that must cover them.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Upper bound of the request's input tokens.
    pub input_tokens: u64,
    /// The most output tokens that the request asks for.
    pub max_tokens: u32,
    /// `true` if the client gave `max_tokens`. The sentry then lowers it only if the limits allow `clamp`.
    pub given: bool,
    /// `true` if a fallback model can answer the request. A limit can prefer the fallback to a shorter answer.
    pub has_fallback: bool,
    /// The model's price. `None` if it has none.
    pub price: Option<&'a Price>,
    /// The circumstances that decide which rates of the price can apply.
    pub charges: Charges,
    /// The budgets that apply. A budget in dollars is included only if the model has a price.
    pub budgets: Vec<Budget<'a>>,
}

/// A budget, and the figures of its scope at one moment.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// The limit and the usage seen by CloudWatch.
    pub budget: Budget<'a>,
    /// The scope's settled usage and its holds.
    pub figures: Figures,
}

/// The result of judging a request by the figures of its budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request fits, or exceeds only limits that observe.
    Fits {
        /// Output tokens that the model may write.
        max_tokens: u32,
        /// The shortages of the limits that observe.
        would_deny: Vec<Shortage>,
    },
    /// The request exceeds a limit that denies.
    Denied(Shortage),
}

/// A limit that a request exceeds, and by how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The limit that is exceeded.
    pub limit: Box<ScopeLimit>,
    /// The unit that is short.
    pub unit: Unit,
    /// The least that the request needs of `unit`: a count, or picodollars.
    pub needed: u128,
    /// The amount of `unit` that is left after usage and holds: a count, or picodollars.
    pub remaining: u128,
    /// Seconds after which the request may fit, because holds have been settled. `None` if the request does not fit
    /// even without holds.
    pub retry_after_seconds: Option<u64>,
    /// `true` if the request does not fit even without holds, and every limit that it exceeds without holds allows
    /// `fallback`.
    pub may_fall_back: bool,
}

impl Standing<'_> {
    /// The same budget as if nothing were held.
    fn without_holds(&self) -> Self {
        let figures = Figures { settled: self.figures.settled, mean_ms: self.figures.mean_ms, ..Figures::default() };
        Self { budget: self.budget, figures }
    }

    fn denies(&self) -> bool {
        self.budget.limit.enforce == Enforcement::Deny
    }

    fn room(&self, unit: Unit) -> Option<u128> {
        self.figures.room(self.budget.limit, self.budget.seen, unit)
    }
}

impl Ask<'_> {
    /// The amount to hold for the request if the model may write `max_tokens`.
    #[must_use]
    pub fn hold(&self, max_tokens: u32) -> Amount {
        let usd = self.price.map(|price| price.most(self.input_tokens, max_tokens.into(), self.charges));
        Amount {
            input: self.input_tokens,
            output: max_tokens.into(),
            usd: usd.unwrap_or_default(),
            requests: 1,
            in_flight: 1,
        }
    }

    /// Judges the request by the current figures of its budgets.
    ///
    /// If the client gave no `max_tokens`, the request gets the tokens that are left at the moment. A `max_tokens` of
    /// the client is lowered only to the amount that would be left without holds. The request then waits for that
    /// amount, because other requests may use less than they hold.
    #[must_use]
    pub fn judge(&self, standings: &[Standing<'_>], now_ms: i64) -> Verdict {
        let floor = self.max_tokens.min(LEAST_OUTPUT_TOKENS);
        let (denying, observing): (Vec<&Standing<'_>>, Vec<&Standing<'_>>) =
            standings.iter().partition(|standing| standing.denies());
        let (least, most) = if self.given {
            let alone: Vec<Standing<'_>> = denying.iter().map(|standing| standing.without_holds()).collect();
            let alone: Vec<&Standing<'_>> = alone.iter().collect();
            let wanted = if self.is_clamped(&alone) { self.fitting(&alone).max(floor) } else { self.max_tokens };
            (wanted, wanted)
        } else {
            (floor, self.fitting(&denying).max(floor))
        };
        if let Some(shortage) = self.shortage(least, &denying, now_ms) {
            Verdict::Denied(shortage)
        } else {
            let short = |standing: &&Standing<'_>| self.shortage(most, &[*standing], now_ms);
            Verdict::Fits { max_tokens: most, would_deny: observing.iter().filter_map(short).collect() }
        }
    }

    /// `true` if `max_tokens` exceeds some limits even without holds (`alone`), and all of these allow `clamp`.
    /// `false` if all of them list `fallback` first and there is a fallback.
    fn is_clamped(&self, alone: &[&Standing<'_>]) -> bool {
        let short = alone.iter().filter(|standing| self.short_of(self.max_tokens, standing).is_some());
        let exceeded: Vec<&ScopeLimit> = short.map(|standing| standing.budget.limit).collect();
        let all_allow = exceeded.iter().all(|limit| limit.allows(Remedy::Clamp));
        let fallback_first = exceeded.iter().all(|limit| limit.when_exceeded.first() == Some(&Remedy::Fallback));
        !exceeded.is_empty() && all_allow && !(self.has_fallback && fallback_first)
    }

    /// Output tokens, at most `max_tokens`, that fit within every limit.
    fn fitting(&self, standings: &[&Standing<'_>]) -> u32 {
        let most = standings.iter().map(|standing| self.most_output(standing)).min();
        let most = most.unwrap_or(u64::MAX).min(self.max_tokens.into());
        u32::try_from(most).unwrap_or(self.max_tokens)
    }

    /// Output tokens that fit within one limit.
    fn most_output(&self, standing: &Standing<'_>) -> u64 {
        let tokens = standing.room(Unit::Output).map_or(u64::MAX, |room| u64::try_from(room).unwrap_or(u64::MAX));
        let room = standing.room(Unit::Usd).map(Usd::from_picodollars);
        tokens.min(room.map_or(u64::MAX, |room| self.affordable_output(room)))
    }

    /// Output tokens that `budget` can pay for, after the most that the input can cost. `u64::MAX` if the model has no
    /// price.
    #[must_use]
    pub fn affordable_output(&self, budget: Usd) -> u64 {
        let Some(price) = self.price else { return u64::MAX };
        let rates = price.dearest(self.input_tokens, self.charges);
        rates.output.affordable(budget.saturating_sub(rates.most_for_input(self.input_tokens)))
    }

    /// The shortage if `least` tokens do not fit. The first limit for which waiting does not help has precedence.
    /// Without such a limit, it is the limit with the longest wait.
    fn shortage(&self, least: u32, standings: &[&Standing<'_>], now_ms: i64) -> Option<Shortage> {
        let mut exceeded: Option<Shortage> = None;
        let mut longest: Option<Shortage> = None;
        for standing in standings {
            let limit = standing.budget.limit;
            let Some(mut short) = self.short_of(least, standing) else { continue };
            if self.short_of(least, &standing.without_holds()).is_some() {
                let may_fall_back = exceeded.as_ref().is_none_or(|first| first.may_fall_back);
                short = exceeded.unwrap_or(short);
                short.may_fall_back = may_fall_back && limit.allows(Remedy::Fallback);
                exceeded = Some(short);
                continue;
            }
            let until_reset = limit.window.resets_at.map_or(i64::MAX, |end| end.timestamp_millis() - now_ms);
            let wait = self.wait_ms(least, standing, now_ms).min(until_reset);
            short.retry_after_seconds = Some(u64::try_from(wait).unwrap_or_default().div_ceil(1_000).max(1));
            if longest.as_ref().is_none_or(|other| other.retry_after_seconds < short.retry_after_seconds) {
                longest = Some(short);
            }
        }
        exceeded.or(longest)
    }

    /// The shortage of the first unit in which one limit has no room for `tokens`.
    fn short_of(&self, tokens: u32, standing: &Standing<'_>) -> Option<Shortage> {
        let hold = self.hold(tokens);
        Unit::ALL.into_iter().find_map(|unit| {
            let (remaining, needed) = (standing.room(unit)?, hold.get(unit));
            // A limit that is 0 or used up denies every request, even one that needs none of this unit.
            (needed > remaining || remaining == 0).then(|| Shortage {
                limit: Box::new(standing.budget.limit.clone()),
                unit,
                needed,
                remaining,
                retry_after_seconds: None,
                may_fall_back: false,
            })
        })
    }

    /// Milliseconds until enough holds should be settled for `tokens` to fit, if those requests use almost nothing.
    fn wait_ms(&self, tokens: u32, standing: &Standing<'_>, now_ms: i64) -> i64 {
        let figures = &standing.figures;
        let mut ends: Vec<(i64, Amount)> = figures
            .holds
            .values()
            .map(|hold| (expected_end(hold.taken_ms, hold.expires_ms, figures.mean_ms, now_ms), hold.amount))
            .collect();
        ends.sort_unstable_by_key(|(end, _)| *end);
        let mut left = standing.clone();
        let mut wait = USUAL_MS;
        for (end, amount) in ends {
            left.figures.held = left.figures.held.saturating_sub(amount);
            wait = end - now_ms;
            if self.short_of(tokens, &left).is_none() {
                break;
            }
        }
        wait
    }
}

/// The time at which a hold should be settled, in milliseconds since 1970: after the mean duration, or after 1.5 times
/// its age if it already lasts longer. It is never after the hold expires.
fn expected_end(taken_ms: i64, expires_ms: i64, mean_ms: Option<u64>, now_ms: i64) -> i64 {
    let usual = mean_ms.and_then(|mean| i64::try_from(mean).ok()).unwrap_or(USUAL_MS);
    let age = now_ms.saturating_sub(taken_ms).max(0);
    let lasts = if age < usual { usual } else { age.saturating_add(age / 2) };
    taken_ms.saturating_add(lasts).min(expires_ms).max(now_ms)
}

#[cfg(test)]
mod tests;
