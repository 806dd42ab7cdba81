//! Reads the ledger and decides without a write: for the command of administrators.

use chrono::{DateTime, Duration, Utc};
use sentry_domain::{Amount, BudgetEntry, Remedy, ScopeLimit};

use crate::admission::{Ask, Budget, Standing, Verdict};
use crate::change::Change;
use crate::decision::{Admission, Choice};
use crate::figures::Figures;
use crate::holder::Holder;
use crate::item::Item;
use crate::key::{Key, delete_after};
use crate::lease::Place;
use crate::reserve::Attempt;
use crate::response;
use crate::scope_items::ScopeItems;
use crate::settle::expiries;
use crate::store::{Ledger, LedgerError};

/// The foreseen decision of [`Ledger::reserve_either`]. Nothing is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The decision. The reservation of an approval has the amounts that would be held, but no hold exists.
    pub admission: Admission,
    /// The model that the decision is about.
    pub choice: Choice,
    /// Every budget of that model, with the figures by which it was judged.
    pub budget: Vec<BudgetEntry>,
}

/// A decision by the figures of one moment.
pub struct Judged {
    admission: Admission,
    budget: Vec<BudgetEntry>,
    /// `true` if a limit wants a shorter answer after the fallback was tried.
    clamp_last: bool,
}

impl Judged {
    /// The decision about the model `choice`.
    pub fn of(self, choice: Choice) -> Preview {
        Preview { admission: self.admission, choice, budget: self.budget }
    }
}

/// A request that is judged by the items of one moment, without a write. No I/O.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The execution that asks.
    pub holder: Holder<'a>,
    /// The request to the model that the client asked for.
    pub ask: &'a Ask<'a>,
    /// The request to the fallback model, if there is one.
    pub fallback: Option<&'a Ask<'a>>,
    /// The time of the decision.
    pub now: DateTime<Utc>,
    /// The time for which a hold would last.
    pub hold_for: Duration,
}

impl<'a> Question<'a> {
    /// The decision by the items of the budgets of `ask`. If it is a denial that the fallback may replace, also returns
    /// the fallback, for [`Self::second`].
    pub fn first(&self, scopes: &[ScopeItems]) -> (Judged, Option<&'a Ask<'a>>) {
        let first = Ask { has_fallback: self.fallback.is_some(), ..self.ask.clone() };
        let wanted = self.judged(&first, self.fallback.is_some(), scopes);
        let may_fall_back = matches!(&wanted.admission, Admission::Denied { shortage, .. } if shortage.may_fall_back);
        (wanted, self.fallback.filter(|_| may_fall_back))
    }

    /// The decision if the request to the model that the client asked for is denied as `wanted`. `scopes` are the items
    /// of its budgets, and `instead` those of the budgets of `fallback`.
    pub fn second(&self, wanted: Judged, scopes: &[ScopeItems], fallback: &Ask<'_>, instead: &[ScopeItems]) -> Preview {
        let instead = self.judged(fallback, false, instead);
        if matches!(instead.admission, Admission::Approved { .. }) {
            instead.of(Choice::Fallback)
        } else if wanted.clamp_last {
            self.judged(self.ask, true, scopes).of(Choice::Wanted)
        } else {
            wanted.of(Choice::Wanted)
        }
    }

    fn judged(&self, ask: &Ask<'_>, falls_back: bool, scopes: &[ScopeItems]) -> Judged {
        let mut attempt = Attempt { falls_back, ..Attempt::new(self.holder, ask, self.now, self.hold_for) };
        for (place, items) in attempt.places.iter_mut().zip(scopes) {
            place.budget.limit = response::in_force(&place.budget, &items.own, attempt.falls_back);
        }
        let standings: Vec<Standing<'_>> = attempt
            .places
            .iter()
            .zip(scopes)
            .map(|(place, items)| Standing { budget: place.budget, figures: items.figures() })
            .collect();
        let entry = |standing: &Standing<'_>| standing.figures.entry(standing.budget.limit, standing.budget.seen);
        let budget: Vec<BudgetEntry> = standings.iter().map(entry).collect();
        let admission = match attempt.ask.judge(&standings, attempt.now.timestamp_millis()) {
            Verdict::Denied(shortage) => Admission::Denied { shortage, budget: budget.clone(), alerts: Vec::new() },
            Verdict::Fits { max_tokens, would_deny } => {
                attempt.max_tokens = max_tokens;
                Admission::Approved { reservation: attempt.reservation(), would_deny }
            }
        };
        let clamp_last = |limit: &ScopeLimit| limit.when_exceeded == [Remedy::Fallback, Remedy::Clamp];
        let clamp_last = attempt.places.iter().any(|place| clamp_last(place.budget.limit));
        Judged { admission, budget, clamp_last }
    }
}

/// The limits of an ask, in its order.
pub fn limits_of<'a>(ask: &Ask<'a>) -> Vec<&'a ScopeLimit> {
    ask.budgets.iter().map(|budget| budget.limit).collect()
}

impl Ledger {
    /// The items of each limit's window at one moment, without a write. Expired holds count as used in full, as they
    /// do for the next request. A window that has counted nothing yet begins with the usage of the history.
    ///
    /// # Errors
    /// If the ledger or the history cannot be reached, or an item cannot be understood.
    pub async fn view(&self, limits: &[&ScopeLimit], now: DateTime<Utc>) -> Result<Vec<ScopeItems>, LedgerError> {
        let place = |limit| Place { all: true, ..Place::own(Budget { limit, seen: Amount::ZERO }) };
        let places: Vec<Place<'_>> = limits.iter().map(|limit| place(*limit)).collect();
        let mut scopes = self.look(&places, 0).await?;
        for (limit, items) in limits.iter().zip(&mut scopes) {
            if !items.own.begun {
                self.begin_in_memory(limit, items, now).await?;
            }
            expire(limit, items, now.timestamp_millis());
        }
        Ok(scopes)
    }

    /// The settled usage and the holds of each limit's window, without a write.
    ///
    /// # Errors
    /// The same as for [`Self::view`].
    pub async fn figures(&self, limits: &[&ScopeLimit], now: DateTime<Utc>) -> Result<Vec<Figures>, LedgerError> {
        Ok(self.view(limits, now).await?.iter().map(ScopeItems::figures).collect())
    }

    /// Foresees the decision of [`Self::reserve_either`] at `now`, without a write.
    ///
    /// Another request can change the figures at any time, so the real decision can differ.
    ///
    /// # Errors
    /// The same as for [`Self::view`].
    pub async fn preview(
        &self,
        holder: Holder<'_>,
        ask: &Ask<'_>,
        fallback: Option<&Ask<'_>>,
        now: DateTime<Utc>,
        hold_for: Duration,
    ) -> Result<Preview, LedgerError> {
        if let Some(entry) = self.entry(holder.request_id, now).await?.filter(|entry| !entry.given_up) {
            let admission = Admission::Duplicate(entry.earlier);
            return Ok(Preview { admission, choice: Choice::Wanted, budget: Vec::new() });
        }
        let question = Question { holder, ask, fallback, now, hold_for };
        let scopes = self.view(&limits_of(ask), now).await?;
        let (wanted, fallback) = question.first(&scopes);
        let Some(fallback) = fallback else { return Ok(wanted.of(Choice::Wanted)) };
        let instead = self.view(&limits_of(fallback), now).await?;
        Ok(question.second(wanted, &scopes, fallback, &instead))
    }

    async fn begin_in_memory(
        &self,
        limit: &ScopeLimit,
        items: &mut ScopeItems,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let settled = self.spent_before(limit, now).await?;
        let begin = Change::Begin { settled, delete_after: delete_after(limit) };
        if let Some(begun) = begin.apply(&items.own) {
            items.own = begun;
        }
        Ok(())
    }
}

/// Settles the holds that have expired, in memory.
pub fn expire(limit: &ScopeLimit, items: &mut ScopeItems, now_ms: i64) {
    let settle = |item: &mut Item, shard| {
        for (_, change) in expiries(&Key::of(limit, shard), item, now_ms) {
            if let Some(settled) = change.apply(item) {
                *item = settled;
            }
        }
    };
    settle(&mut items.own, None);
    for (number, item) in &mut items.shards {
        settle(item, Some(*number));
    }
}
