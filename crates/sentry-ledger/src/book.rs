//! The ledger in memory, for the replay of a past month. No I/O.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use sentry_domain::{Amount, Reservation, ReservedScope, ScopeLimit};

use crate::admission::Ask;
use crate::alert::{Watch, due_alerts};
use crate::change::{Bounds, Change};
use crate::decision::{Admission, Choice};
use crate::figures::Figures;
use crate::holder::Holder;
use crate::item::{Hold, Item};
use crate::key::{Key, delete_after};
use crate::lease;
use crate::requests::{Earlier, REMEMBERED_SECONDS};
use crate::scope_items::ScopeItems;
use crate::settle::settlements;
use crate::view::{Preview, Question, expire, limits_of};

/// The items of all scopes in memory. They get the same changes as the items of the table, and decide by the same
/// judgment. A scope has one item, because shards do not change a decision.
///
/// Each window begins empty: a book has no usage history. The caller gives the time, which must not go back.
#[derive(Clone, Debug, Default)]
pub struct Book {
    items: HashMap<Key, Item>,
    requests: HashMap<String, Registered>,
}

/// A request id that another execution cannot use. Times are seconds since 1970, as in the requests table.
#[derive(Clone, Copy, Debug)]
struct Registered {
    /// The time from which the request counts as settled: that of its settlement, or the end of its hold.
    settled_at: i64,
    /// The time until which it is registered.
    until: i64,
}

impl Book {
    /// The decision that [`Ledger::reserve_either`](crate::Ledger::reserve_either) would make at `now` by these items.
    /// It holds nothing; see [`Self::take`]. Holds that have expired are settled in full first.
    pub fn preview(
        &mut self,
        holder: Holder<'_>,
        ask: &Ask<'_>,
        fallback: Option<&Ask<'_>>,
        now: DateTime<Utc>,
        hold_for: Duration,
    ) -> Preview {
        if let Some(earlier) = self.earlier(holder.request_id, now) {
            let admission = Admission::Duplicate(earlier);
            return Preview { admission, choice: Choice::Wanted, budget: Vec::new() };
        }
        let question = Question { holder, ask, fallback, now, hold_for };
        let scopes = self.view(&limits_of(ask), now);
        let (wanted, fallback) = question.first(&scopes);
        let Some(fallback) = fallback else { return wanted.of(Choice::Wanted) };
        let instead = self.view(&limits_of(fallback), now);
        question.second(wanted, &scopes, fallback, &instead)
    }

    /// Takes the hold of an approval, in every scope of `reservation`.
    pub fn take(&mut self, reservation: &Reservation) {
        let hold = Hold {
            amount: reservation.hold,
            taken_ms: reservation.held_at.timestamp_millis(),
            expires_ms: reservation.expires_at.timestamp_millis(),
        };
        let registered = Registered {
            settled_at: reservation.expires_at.timestamp(),
            until: reservation.held_at.timestamp() + REMEMBERED_SECONDS,
        };
        self.requests.insert(reservation.request_id.clone(), registered);
        let owner = Holder::from(reservation).owner();
        for ReservedScope { limit, .. } in &reservation.scopes {
            let take = Change::Take {
                owner: owner.clone(),
                hold: hold.clone(),
                // The preview has judged the request.
                bounds: Bounds::default(),
                terms: lease::terms(&limit.limits),
                watch: Watch::of(limit),
                delete_after: delete_after(limit),
            };
            self.change(&Key::of(limit, None), &take);
        }
    }

    /// Settles the hold of `reservation` at `actual`. If `actual` is absent, the usage is unknown, and the hold stays
    /// until it expires. A hold that has expired stays settled in full.
    pub fn settle(&mut self, reservation: &Reservation, actual: Option<Amount>, now: DateTime<Utc>) {
        for (key, change) in settlements(reservation, actual, now) {
            self.change(&key, &change);
        }
        for ReservedScope { limit, .. } in &reservation.scopes {
            self.mark(limit);
        }
        match actual {
            None => {}
            // The model did no work, so the client may send the id again.
            Some(Amount::ZERO) => drop(self.requests.remove(&reservation.request_id)),
            Some(_) => {
                let settled_at = now.timestamp();
                let registered = Registered { settled_at, until: settled_at + REMEMBERED_SECONDS };
                self.requests.insert(reservation.request_id.clone(), registered);
            }
        }
    }

    fn earlier(&self, request_id: &str, now: DateTime<Utc>) -> Option<Earlier> {
        let second = now.timestamp();
        let registered = self.requests.get(request_id).filter(|registered| registered.until > second)?;
        let is_settled = registered.settled_at <= second;
        Some(if is_settled { Earlier::Settled { told: None } } else { Earlier::InFlight })
    }

    /// The settled usage and the holds of a limit's window at `now`.
    pub fn figures(&mut self, limit: &ScopeLimit, now: DateTime<Utc>) -> Figures {
        self.item(limit, now).figures()
    }

    fn view(&mut self, limits: &[&ScopeLimit], now: DateTime<Utc>) -> Vec<ScopeItems> {
        limits.iter().map(|limit| self.item(limit, now)).collect()
    }

    fn item(&mut self, limit: &ScopeLimit, now: DateTime<Utc>) -> ScopeItems {
        let Some(own) = self.items.get_mut(&Key::of(limit, None)) else { return ScopeItems::default() };
        let now_ms = now.timestamp_millis();
        let mut items = ScopeItems { own: own.clone(), ..ScopeItems::default() };
        if own.expired(now_ms).next().is_some() {
            expire(limit, &mut items, now_ms);
            own.clone_from(&items.own);
            self.mark(limit);
        }
        items
    }

    /// Marks the alerts that are due, as they are after they were sent. A response stays in force by its mark.
    fn mark(&mut self, limit: &ScopeLimit) {
        if let Some(own) = self.items.get_mut(&Key::of(limit, None)) {
            let due = due_alerts(limit, own.settled, &own.alerted);
            own.alerted.extend(due.iter().map(|alert| alert.threshold));
        }
    }

    fn change(&mut self, key: &Key, change: &Change) {
        let item = self.items.entry(key.clone()).or_default();
        if let Some(changed) = change.apply(item) {
            *item = changed;
        }
    }
}

#[cfg(test)]
mod tests;
