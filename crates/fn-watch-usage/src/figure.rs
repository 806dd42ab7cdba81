//! The figure of one model and day. No I/O.

use chrono::TimeDelta;
use sentry_history::{Tokens, Ungoverned};

/// The longest time from the arrival of a request to the end of its model's call. The history counts a request for the
/// day on which it arrived, and CloudWatch counts its call. So CloudWatch counts for the next day at most the calls of
/// this time after midnight. The workflow has 300 seconds.
pub const LONGEST_REQUEST: TimeDelta = TimeDelta::seconds(360);

/// The facts about a model and day at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Tokens that CloudWatch has counted for the day.
    pub counted: Tokens,
    /// The part of `counted` from the first [`LONGEST_REQUEST`] of the day.
    pub after_midnight: Tokens,
    /// Tokens that the history has for requests that arrived on the day. It includes the holds of calls whose usage
    /// is unknown.
    pub governed: Tokens,
    /// The same for the day before.
    pub governed_before: Tokens,
    /// The figures of the day before. `None` if CloudWatch was not asked about it.
    pub figures_before: Option<Ungoverned>,
    /// The second since 1970 at which CloudWatch was asked.
    pub at: i64,
}

impl Facts {
    /// The next figures of the day, made from the figures `last`. `None` if nothing changes, or if `last` is less than
    /// `settled_after` old.
    ///
    /// CloudWatch's numbers and the history's are both late. So CloudWatch's numbers of an *earlier* run are compared
    /// with the history of *now*: a call that CloudWatch had counted by then has reached the history since, if it was
    /// governed. The rest bypassed the sentry. Numbers that CloudWatch gets later make the rest smaller and not
    /// larger, so the rest is never more than the truth, and the largest one so far is the figure.
    #[must_use]
    pub fn next(&self, last: Option<&Ungoverned>, settled_after: TimeDelta) -> Option<Ungoverned> {
        let Some(last) = last else {
            return Some(Ungoverned { seen: self.counted, seen_at: self.at, ..Ungoverned::default() });
        };
        if self.at < last.seen_at.saturating_add(settled_after.num_seconds()) {
            return None;
        }
        let governed = self.governed.with(self.of_the_day_before(), u64::saturating_add);
        let rest = last.seen.with(governed, u64::saturating_sub);
        let tokens = last.tokens.with(rest, u64::max);
        let changes = tokens != last.tokens || self.counted != last.seen;
        changes.then_some(Ungoverned { tokens, seen: self.counted, seen_at: self.at, published: last.published })
    }

    /// An upper bound of the governed tokens that CloudWatch counts for this day and the history for the day before:
    /// the tokens that the day before has too many in the history, but not more than this day has after midnight.
    fn of_the_day_before(&self) -> Tokens {
        let before = self.figures_before.unwrap_or_default();
        let explained = self.governed_before.with(before.tokens, u64::saturating_add);
        let surplus = explained.with(before.seen, u64::saturating_sub);
        surplus.with(self.after_midnight, u64::min)
    }
}

#[cfg(test)]
mod tests;
