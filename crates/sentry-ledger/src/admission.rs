//! Whether a request fits, how much of it, and if not, whether waiting helps. No I/O.

use sentry_contract::states::{Enforcement, Remedy, ScopeLimit};
use sentry_domain::{Amount, Charges, Price, Unit, Usd};

use crate::figures::Figures;

/// The least that is asked of a model where the sentry chooses or lowers `max_tokens`: fewer tokens are no answer.
pub const LEAST_OUTPUT_TOKENS: u32 = 16;

/// How long a request is expected to hold where none has been settled yet, in milliseconds.
const USUAL_MS: i64 = 2_000;

/// A limit, with the usage that CloudWatch has seen in its window.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    /// The limit.
    pub limit: &'a ScopeLimit,
    /// Tokens and dollars; nothing for a scope that CloudWatch does not know.
    pub seen: Amount,
}

/// What a request asks of its budgets.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// No more input tokens than these.
    pub input_tokens: u64,
    /// Most tokens to write if they fit.
    pub max_tokens: u32,
    /// Whether the client wants `max_tokens`, and fewer only where the limits say so.
    pub given: bool,
    /// Whether another model can be asked as well, which a limit may want to be tried before a shorter answer.
    pub has_fallback: bool,
    /// The model's price, if it has one.
    pub price: Option<&'a Price>,
    /// What decides which of its rates can apply.
    pub charges: Charges,
    /// The budgets that apply; those in dollars only where there is a price.
    pub budgets: Vec<Budget<'a>>,
}

/// A budget with its figures at one moment.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// The budget.
    pub budget: Budget<'a>,
    /// Its figures.
    pub figures: Figures,
}

/// What the figures say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fits, or only budgets that observe are short of it.
    Fits {
        /// Tokens to write.
        max_tokens: u32,
        /// The denials of the budgets that observe.
        would_deny: Vec<Shortage>,
    },
    /// It does not fit.
    Denied(Shortage),
}

/// Where a request does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which of the limits.
    pub limit: Box<ScopeLimit>,
    /// The unit that is short.
    pub unit: Unit,
    /// The least that the request needs of it: a count or picodollars.
    pub needed: u128,
    /// What there is, holds taken off: a count or picodollars.
    pub remaining: u128,
    /// Seconds after which it may fit because holds have been settled; `None` when it would not fit without them either.
    pub retry_after_seconds: Option<u64>,
    /// Whether it would not fit without holds either, and every limit where that is so lets a fallback answer.
    pub may_fall_back: bool,
}

impl Standing<'_> {
    /// The same if nothing were held.
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
    /// What is held for the request if the model may write `max_tokens`.
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

    /// Judges the request by how its budgets stand.
    ///
    /// Where the client gave no `max_tokens`, it gets what is left at the moment. One that it gave is lowered to what would
    /// be left without holds, and then waited for: nobody's answer is cut for what others only might use.
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
        match self.shortage(least, &denying, now_ms) {
            Some(shortage) => Verdict::Denied(shortage),
            None => {
                let short = |standing: &&Standing<'_>| self.shortage(most, &[*standing], now_ms);
                Verdict::Fits { max_tokens: most, would_deny: observing.iter().filter_map(short).collect() }
            }
        }
    }

    /// Whether `max_tokens` is too much for some limits even if nothing is held (`alone`), all of which let it be lowered.
    /// Where all of them would rather see the fallback first, it is not lowered yet.
    fn is_clamped(&self, alone: &[&Standing<'_>]) -> bool {
        let short = alone.iter().filter(|standing| self.short_of(self.max_tokens, standing).is_some());
        let exceeded: Vec<&ScopeLimit> = short.map(|standing| standing.budget.limit).collect();
        let all_allow = exceeded.iter().all(|limit| limit.allows(Remedy::Clamp));
        let fallback_first = exceeded.iter().all(|limit| limit.when_exceeded.first() == Some(&Remedy::Fallback));
        !exceeded.is_empty() && all_allow && !(self.has_fallback && fallback_first)
    }

    /// As many tokens of `max_tokens` as could be written within every limit.
    fn fitting(&self, standings: &[&Standing<'_>]) -> u32 {
        let most = standings.iter().map(|standing| self.most_output(standing)).min();
        let most = most.unwrap_or(u64::MAX).min(self.max_tokens.into());
        u32::try_from(most).unwrap_or(self.max_tokens)
    }

    /// How many tokens could be written within one limit.
    fn most_output(&self, standing: &Standing<'_>) -> u64 {
        let tokens = standing.room(Unit::Output).map_or(u64::MAX, |room| u64::try_from(room).unwrap_or(u64::MAX));
        let room = standing.room(Unit::Usd).map(Usd::from_picodollars);
        tokens.min(room.map_or(u64::MAX, |room| self.affordable_output(room)))
    }

    /// How many tokens can be written for `budget`, after everything that the request may read is paid for; no bound without a price.
    #[must_use]
    pub fn affordable_output(&self, budget: Usd) -> u64 {
        let Some(price) = self.price else { return u64::MAX };
        let rates = price.dearest(self.input_tokens, self.charges);
        rates.output.affordable(budget.saturating_sub(rates.most_for_input(self.input_tokens)))
    }

    /// Where `least` tokens do not fit: first a limit where waiting does not help, else the one to wait for longest.
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

    /// The first unit of one limit that is too short for `tokens` to be written.
    fn short_of(&self, tokens: u32, standing: &Standing<'_>) -> Option<Shortage> {
        let hold = self.hold(tokens);
        Unit::ALL.into_iter().find_map(|unit| {
            let (remaining, needed) = (standing.room(unit)?, hold.get(unit));
            // A limit of 0 allows nothing, also nothing that is free; a spent one no request that is free either.
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

    /// Milliseconds until so many holds should be settled that `tokens` fit, if they use next to nothing.
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

/// When a hold should be settled: after the usual time, or, when it already lasts longer, after half as long again.
fn expected_end(taken_ms: i64, expires_ms: i64, mean_ms: Option<u64>, now_ms: i64) -> i64 {
    let usual = mean_ms.and_then(|mean| i64::try_from(mean).ok()).unwrap_or(USUAL_MS);
    let age = now_ms.saturating_sub(taken_ms).max(0);
    let lasts = if age < usual { usual } else { age.saturating_add(age / 2) };
    taken_ms.saturating_add(lasts).min(expires_ms).max(now_ms)
}

#[cfg(test)]
mod tests;
