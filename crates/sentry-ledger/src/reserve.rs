//! Takes a hold in every scope that applies, or finds out why that is not possible.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use futures_util::future::try_join;
use sentry_domain::{Amount, Enforcement, Remedy, Reservation, ScopeLimit};

use crate::admission::{Ask, Budget, Shortage, Standing, Verdict};
use crate::ahead::ScopesAhead;
use crate::alert::{Watch, due_alerts};
use crate::change::{Bounds, Change};
use crate::decision::{Admission, Choice};
use crate::figures::Figures;
use crate::holder::Holder;
use crate::item::{Hold, Item};
use crate::key::{Key, delete_after};
use crate::lease::{self, Groups, Place};
use crate::requests::Registered;
use crate::response;
use crate::scope_items::ScopeItems;
use crate::settle::expiries;
use crate::spread;
use crate::store::{Ledger, LedgerError, ROUNDS, Written, pause};
use crate::sweep::sooner_look;

/// One in this many holds in shards is followed by a read of the items' sizes, if a transaction took the hold or one
/// of the items is too large. The answer of a transaction does not show the items. Not every hold is followed by this
/// read, because each one reads the scope's own item.
const LOOK_AFTER: u32 = 8;

/// One in this many requests that conflict with others spreads the scopes further.
const HEAT_ONE_IN: u32 = 4;
/// The rounds in which a request waits until another one has made the first leases of new shards. The pauses take
/// about a quarter of a second on average, and about half a second at most.
const WAITS_FOR_OPENING: std::ops::Range<u32> = 3..6;

/// The next step after the items of the scopes were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The request is decided: a hold was found, or the request is denied.
    Done(Admission),
    /// Try again after these changes.
    Again(Groups),
    /// Read all shards, then decide.
    LookAtAll,
    /// The execution was barred, because its reservation was given up.
    GivenUp,
}

/// An attempt to take a hold.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// The execution that takes the hold.
    pub holder: Holder<'a>,
    /// The amounts and budgets of the request.
    pub ask: &'a Ask<'a>,
    /// The time at which the hold is taken.
    pub now: DateTime<Utc>,
    /// The time at which the hold expires.
    pub expires_at: DateTime<Utc>,
    /// The most output tokens that the model may write.
    pub max_tokens: u32,
    /// `true` if a fallback can answer the request instead.
    pub falls_back: bool,
    /// Each budget, and the item to hold in.
    pub places: Vec<Place<'a>>,
    /// The shortages of the limits that only observe.
    pub would_deny: Vec<Shortage>,
}

/// The state of a request that is being decided.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// `true` if a write of unknown outcome may have happened or may still happen. The write can be from this call, or
    /// from an earlier call for the same execution.
    is_uncertain: bool,
}

impl Ledger {
    /// Takes a hold for `ask` in all of its budgets or in none. The hold expires after `hold_for`.
    ///
    /// A repeated call, for instance after a crash, finds the hold that was taken.
    ///
    /// # Errors
    /// If the ledger cannot be reached, or is contended. It is then unknown if a hold was taken.
    /// [`LedgerError::GivenUp`] if the reservation was given up meanwhile.
    pub async fn reserve(
        &self,
        holder: Holder<'_>,
        ask: &Ask<'_>,
        now: DateTime<Utc>,
        hold_for: Duration,
    ) -> Result<Admission, LedgerError> {
        self.reserve_either(holder, ask, None, None, now, hold_for).await.map(|(admission, _)| admission)
    }

    /// Does the same as [`Self::reserve`], but takes the hold for `fallback` if `ask` does not fit and its limits
    /// allow `fallback`. It never takes a hold for both. A denial has the figures of `ask`. If `ahead` has the own items
    /// of all scopes of `ask`, they are not read again before the first attempt.
    ///
    /// # Errors
    /// The same as for [`Self::reserve`].
    pub async fn reserve_either(
        &self,
        holder: Holder<'_>,
        ask: &Ask<'_>,
        fallback: Option<&Ask<'_>>,
        ahead: Option<&ScopesAhead>,
        now: DateTime<Utc>,
        hold_for: Duration,
    ) -> Result<(Admission, Choice), LedgerError> {
        let owner = holder.owner();
        let now = DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now);
        let wanted = Attempt { falls_back: fallback.is_some(), ..Attempt::new(holder, ask, now, hold_for) };
        // Placing the hold adds no latency, because it runs while the request is registered.
        let (registered, wanted) = try_join(
            self.register(holder.request_id, &owner, now, now + hold_for),
            Box::pin(self.placed(wanted, ahead, false)),
        )
        .await?;
        let mut progress = match registered {
            Registered::First => Progress { is_uncertain: false },
            Registered::Again => Progress { is_uncertain: true },
            Registered::Other(earlier) => return Ok((Admission::Duplicate(earlier), Choice::Wanted)),
            Registered::GivenUp => return Err(LedgerError::GivenUp),
        };
        let (admission, choice) = match fallback {
            None => (self.admit(wanted, &mut progress).await?, Choice::Wanted),
            Some(fallback) => {
                let fallback = Attempt::new(holder, fallback, now, hold_for);
                Box::pin(self.choose(&wanted, &fallback, &mut progress)).await?
            }
        };
        if !matches!(admission, Admission::Approved { .. }) {
            if progress.is_uncertain {
                // A write that is still on its way could take a hold that nobody settles.
                let budgets = ask.budgets.iter().chain(fallback.iter().flat_map(|ask| &ask.budgets));
                let limits: Vec<&ScopeLimit> = budgets.map(|budget| budget.limit).collect();
                self.give_back(holder, &limits, now).await?;
                self.give_up(holder.request_id, &owner, now).await?;
            } else {
                self.forget(holder.request_id, &owner).await?;
            }
        }
        Ok((admission, choice))
    }

    /// Tries both models in the order that the limits ask for. If the execution was here before, it first looks for a
    /// hold for the fallback. The scopes that both models share do not show which model a hold is for.
    async fn choose(
        &self,
        wanted: &Attempt<'_>,
        fallback: &Attempt<'_>,
        progress: &mut Progress,
    ) -> Result<(Admission, Choice), LedgerError> {
        if progress.is_uncertain {
            let scopes = self.look(&fallback.places, fallback.holder.spot()).await?;
            if let Some(found @ Admission::Approved { .. }) = fallback.found(&scopes) {
                return Ok((found, Choice::Fallback));
            }
        }
        let first = Ask { has_fallback: true, ..wanted.ask.clone() };
        let denied = self.admit(Attempt { ask: &first, ..wanted.clone() }, progress).await?;
        if !matches!(&denied, Admission::Denied { shortage, .. } if shortage.may_fall_back) {
            return Ok((denied, Choice::Wanted));
        }
        let fallback = Box::pin(self.placed(fallback.clone(), None, false)).await?;
        if let approved @ Admission::Approved { .. } = self.admit(fallback, progress).await? {
            return Ok((approved, Choice::Fallback));
        }
        let clamp_last = wanted.places.iter().any(|place| {
            let limit = place.budget.limit;
            limit.when_exceeded == [Remedy::Fallback, Remedy::Clamp]
        });
        let admission = if clamp_last { self.admit(wanted.clone(), progress).await? } else { denied };
        Ok((admission, Choice::Wanted))
    }

    /// Chooses the shards by the scopes' own items, which are read now unless `ahead` has them. Begins own items that
    /// have counted nothing yet with the usage of their scopes so far. Replaces the limits whose automated response is
    /// in force. Spreads a scope over more shards if its own item has too many holds, or if requests conflict
    /// (`is_hot`).
    async fn placed<'a>(
        &self,
        mut attempt: Attempt<'a>,
        ahead: Option<&ScopesAhead>,
        is_hot: bool,
    ) -> Result<Attempt<'a>, LedgerError> {
        let keys: Vec<Key> = attempt.places.iter().map(Place::own_key).collect();
        let (hold, spot, now_ms) = (attempt.hold_amount(), attempt.holder.spot(), attempt.now_ms());
        let mut found = match ahead.and_then(|ahead| ahead.all(&keys)) {
            Some(found) => found,
            None => self.glance(&keys).await?,
        };
        for round in WAITS_FOR_OPENING {
            if !found.values().any(|own| spread::is_being_opened(own, now_ms)) {
                break;
            }
            pause(round).await;
            found = self.glance(&keys).await?;
        }
        for (place, key) in attempt.places.iter_mut().zip(&keys) {
            let limit = place.budget.limit;
            let own = found.remove(key).unwrap_or_default();
            let own = if own.begun { own } else { self.begin(limit, key, own, attempt.now).await? };
            let limit = response::in_force(&place.budget, &own, attempt.falls_back);
            place.budget.limit = limit;
            let (wide, supported) = (spread::spread(limit, own.spread), place.supported(&own, &hold));
            let by_size = spread::grown(limit, own.spread, own.holds.len(), now_ms).filter(|_| wide == 1);
            let by_heat =
                || spread::heated(limit, own.spread, now_ms).filter(|_| is_hot && fastrand::u32(..HEAT_ONE_IN) == 0);
            let own = match by_size.or_else(by_heat).filter(|_| supported > wide) {
                Some(grown) => {
                    let spread = self.spread(place.budget, &grown.at_most(supported), &hold, now_ms).await?;
                    spread.unwrap_or(own)
                }
                None => own,
            };
            place.shard = lease::leased(spot, spread::spread(limit, own.spread).min(supported), &own);
            found.insert(key.clone(), own);
        }
        attempt.observe(&found);
        Ok(attempt)
    }

    /// Tries to write the hold. If the write fails, it reads the scopes, and retries as long as the request fits by
    /// their figures. If the execution was here before, it reads first, because its hold may be in another shard than
    /// the one that it would try now.
    async fn admit(&self, mut attempt: Attempt<'_>, progress: &mut Progress) -> Result<Admission, LedgerError> {
        let mut looks_first = progress.is_uncertain;
        for round in 0..ROUNDS {
            let changes = if looks_first { None } else { attempt.changes() };
            if let Some(changes) = changes {
                match self.take_all(&changes).await? {
                    Written::Done(items) => {
                        Box::pin(self.grow(&attempt, items)).await;
                        return Ok(attempt.approved());
                    }
                    Written::Conflict => {
                        pause(round).await;
                        // If an earlier write may have taken the hold, the attempt must not move to other items. Only the
                        // same items reject a second hold.
                        if round > 0 && !progress.is_uncertain {
                            attempt = Box::pin(self.placed(attempt, None, true)).await?;
                        }
                        continue;
                    }
                    Written::Unknown => progress.is_uncertain = true,
                    Written::Refused => {}
                }
            }
            let scopes = self.look(&attempt.places, attempt.holder.spot()).await?;
            looks_first = false;
            match attempt.after(&scopes) {
                Step::Done(admission) => return Ok(admission),
                Step::GivenUp => return Err(LedgerError::GivenUp),
                Step::LookAtAll => {
                    looks_first = true;
                    continue;
                }
                Step::Again(groups) => {
                    for together in groups {
                        self.change_all(&together).await?;
                    }
                }
            }
            if round > 0 {
                pause(round).await;
            }
        }
        Err(LedgerError::Contended)
    }

    /// Spreads a scope over more shards if an item in which the hold was taken has too many holds. `items` has these
    /// items if the write returned them. Errors are ignored, because the hold is already taken.
    async fn grow(&self, attempt: &Attempt<'_>, items: Vec<Item>) {
        let hold = attempt.hold_amount();
        let spread: Vec<&Place<'_>> = attempt.places.iter().filter(|place| place.shard.is_some()).collect();
        let is_told = items.len() == attempt.places.len();
        let is_small = is_told && items.iter().all(|item| !spread::is_large(item));
        if spread.is_empty() || is_small || fastrand::u32(..LOOK_AFTER) != 0 {
            return;
        }
        let own_keys = spread.iter().map(|place| Key::of(place.budget.limit, None));
        let keys: Vec<Key> = own_keys.chain(spread.iter().map(|place| place.key())).collect();
        let Ok(found) = self.glance(&keys).await else { return };
        for place in spread {
            let item = |key| found.get(&key).cloned().unwrap_or_default();
            let (own, shard) = (item(Key::of(place.budget.limit, None)), item(place.key()));
            self.grow_from(place.budget, &own, &shard, &hold, attempt.now_ms()).await;
        }
    }
}

impl<'a> Attempt<'a> {
    /// An attempt to hold in the scopes' own items.
    #[must_use]
    pub fn new(holder: Holder<'a>, ask: &'a Ask<'a>, now: DateTime<Utc>, hold_for: Duration) -> Self {
        let places = ask.budgets.iter().map(|budget| Place::own(*budget)).collect();
        let max_tokens = ask.max_tokens;
        let expires_at = now + hold_for;
        Self { holder, ask, now, expires_at, max_tokens, falls_back: false, places, would_deny: Vec::new() }
    }
}

impl Attempt<'_> {
    const fn now_ms(&self) -> i64 {
        self.now.timestamp_millis()
    }

    fn hold_amount(&self) -> Amount {
        self.ask.hold(self.max_tokens)
    }

    fn hold(&self) -> Hold {
        Hold { amount: self.hold_amount(), taken_ms: self.now_ms(), expires_ms: self.expires_at.timestamp_millis() }
    }

    /// Removes the bounds for limits that only observe and that their own items show as exceeded.
    fn observe(&mut self, own_items: &HashMap<Key, Item>) {
        self.would_deny.clear();
        for place in &mut self.places {
            let Place { budget, .. } = *place;
            if budget.limit.enforce != Enforcement::Observe {
                continue;
            }
            let Some(own) = own_items.get(&Key::of(budget.limit, None)) else { continue };
            let standing = Standing { budget, figures: Figures::of(own, []) };
            if let Verdict::Fits { would_deny, .. } = self.ask.judge(&[standing], self.now.timestamp_millis())
                && let Some(shortage) = would_deny.into_iter().find(|short| short.retry_after_seconds.is_none())
            {
                place.unbounded = true;
                self.would_deny.push(shortage);
            }
        }
    }

    /// The change of each scope. `None` if the hold does not fit one of them even in an empty item.
    #[must_use]
    pub fn changes(&self) -> Option<Vec<(Key, Change)>> {
        let (hold, owner) = (self.hold(), self.holder.owner());
        let mut changes = Vec::with_capacity(self.places.len());
        for place in &self.places {
            let limit = place.budget.limit;
            let bounds = if place.unbounded {
                Bounds::default()
            } else {
                Bounds::new(&limit.limits, &place.budget.seen, &hold.amount)?
            };
            let (owner, hold, terms) = (owner.clone(), hold.clone(), lease::terms(&limit.limits));
            let change = if place.shard.is_none() {
                let (watch, delete_after) = (Watch::of(limit), delete_after(limit));
                Change::Take { owner, hold, bounds, terms, watch, delete_after }
            } else {
                let limited = limit.limits.limited();
                Change::Draw { owner, hold, limited, terms, now_ms: self.now_ms() }
            };
            changes.push((place.key(), change));
        }
        Some(changes)
    }

    /// The next step after the scopes were read. An earlier hold of this execution is returned. Otherwise expired
    /// holds are settled first, and the sweep is made to come in time for the new hold. Then the figures decide.
    pub fn after(&mut self, scopes: &[ScopeItems]) -> Step {
        let (now_ms, owner) = (self.now_ms(), self.holder.owner());
        // The hold of a barred execution is being given back.
        if scopes.iter().flat_map(ScopeItems::iter).any(|(_, item)| item.barred.contains_key(&owner)) {
            return Step::GivenUp;
        }
        if let Some(admission) = self.found(scopes) {
            return Step::Done(admission);
        }
        let mut first = Groups::new();
        for (place, items) in self.places.iter().zip(scopes) {
            for (shard, item) in items.iter() {
                let key = Key::of(place.budget.limit, shard);
                first.extend(expiries(&key, item, now_ms).into_iter().map(|change| vec![change]));
                first.extend(sooner_look(item, self.expires_at.timestamp_millis()).map(|change| vec![(key, change)]));
            }
        }
        if !first.is_empty() {
            return Step::Again(first);
        }
        self.decide(scopes)
    }

    /// Decides by the scopes whose items are all known. The items were not read at one moment.
    ///
    /// An approval does not depend on that, because the hold is a conditional write. A denial needs a scope whose
    /// shards are closed. The amount left in a closed shard only grows, and no lease changed between the reads. So
    /// when the scope's own item was read, which was first, no more was left than these figures show.
    fn decide(&mut self, scopes: &[ScopeItems]) -> Step {
        let mut known = Vec::with_capacity(scopes.len());
        for (place, items) in self.places.iter().zip(scopes) {
            if items.is_complete() {
                known.push(Standing { budget: place.budget, figures: items.figures() });
            }
        }
        match self.ask.judge(&known, self.now_ms()) {
            Verdict::Denied(shortage) => {
                let short = self.places.iter().zip(scopes).filter(|(place, _)| *place.budget.limit == *shortage.limit);
                let open: Groups =
                    short.flat_map(|(place, items)| lease::close(&place.own_key(), items, Item::is_open)).collect();
                if open.is_empty() { Step::Done(self.denied(shortage, scopes)) } else { Step::Again(open) }
            }
            Verdict::Fits { max_tokens, would_deny } => {
                self.max_tokens =
                    if known.len() == scopes.len() { max_tokens } else { self.max_tokens.min(max_tokens) };
                for place in &mut self.places {
                    place.unbounded |= would_deny.iter().any(|short| *short.limit == *place.budget.limit);
                }
                self.would_deny.retain(|short| !known.iter().any(|standing| *standing.budget.limit == *short.limit));
                self.would_deny.extend(would_deny);
                self.make_ready(scopes).map_or(Step::LookAtAll, Step::Again)
            }
        }
    }

    fn denied(&self, shortage: Shortage, scopes: &[ScopeItems]) -> Admission {
        let mut budget = Vec::with_capacity(scopes.len());
        let mut alerts = Vec::new();
        for (Place { budget: Budget { limit, seen }, .. }, items) in self.places.iter().zip(scopes) {
            let figures = items.figures();
            budget.push(figures.entry(limit, *seen));
            alerts.extend(due_alerts(limit, figures.used(*seen), &items.own.alerted));
        }
        Admission::Denied { shortage, budget, alerts }
    }

    /// The changes after which the next attempt can find room. `None` if a scope's own item has too little room and
    /// not all of its shards are known.
    fn make_ready(&mut self, scopes: &[ScopeItems]) -> Option<Groups> {
        let (hold, spot, now_ms) = (self.hold_amount(), self.holder.spot(), self.now_ms());
        let mut groups = Groups::new();
        let mut is_known = true;
        for (place, items) in self.places.iter_mut().zip(scopes) {
            match lease::make_ready(place, items, &hold, spot, now_ms) {
                Some(changes) => groups.extend(changes),
                None => is_known = false,
            }
        }
        is_known.then_some(groups)
    }

    /// The approval of an earlier attempt of this execution, if its hold is in every scope.
    fn found(&self, scopes: &[ScopeItems]) -> Option<Admission> {
        let owner = self.holder.owner();
        let mut places = Vec::with_capacity(self.places.len());
        let mut first: Option<Hold> = None;
        for (place, items) in self.places.iter().zip(scopes) {
            let (shard, hold) = items.iter().find_map(|(shard, item)| Some((shard, item.holds.get(&owner)?)))?;
            if first.as_ref().is_some_and(|first| first != hold) {
                return None;
            }
            first = Some(hold.clone());
            places.push(Place { shard, ..place.clone() });
        }
        let hold = first?;
        let at = |ms| DateTime::from_timestamp_millis(ms).unwrap_or(self.now);
        let earlier = Attempt {
            now: at(hold.taken_ms),
            expires_at: at(hold.expires_ms),
            max_tokens: u32::try_from(hold.amount.output).unwrap_or(self.max_tokens),
            places,
            ..self.clone()
        };
        let reservation = Reservation { hold: hold.amount, ..earlier.reservation() };
        Some(Admission::Approved { reservation, would_deny: self.would_deny.clone() })
    }

    fn approved(self) -> Admission {
        Admission::Approved { reservation: self.reservation(), would_deny: self.would_deny }
    }

    /// The reservation that describes the hold after it is taken.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation {
            request_id: self.holder.request_id.to_owned(),
            execution_id: self.holder.execution_id.to_owned(),
            max_tokens: self.max_tokens,
            hold: self.hold_amount(),
            held_at: self.now,
            expires_at: self.expires_at,
            scopes: self.places.iter().map(Place::reserved).collect(),
        }
    }
}
