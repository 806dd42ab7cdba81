//! Requests that reserve, wait for their model and settle. The order of the calls is that of `reserve.rs`, `settle.rs`
//! and `store.rs`. The decisions and the writes are the ledger's own code (`steps`).

use std::cell::RefCell;
use std::collections::HashMap;

use chrono::TimeDelta;
use fastrand::Rng;
use futures_util::future::{join, join_all};
use sentry_domain::{Amount, Unit};
use sentry_ledger::change::Change;
use sentry_ledger::item::Item;
use sentry_ledger::steps::{
    Attempt, Groups, Key, MOST_SHARDS, Place, ROUNDS, ScopeItems, Step, candidates, grown, heated, leased,
    longest_pause_ms, opened, settlements, spread,
};
use sentry_ledger::{Admission, Ask, Holder};

use crate::clock::{Clock, Task};
use crate::dynamo::{Reply, Table};
use crate::result::Observer;
use crate::{Case, MOST_TOKENS};

// The SDK's attempts for a call that is throttled, and the first back-off in microseconds (`sentry-lambda`).
const CALL_ATTEMPTS: u32 = 3;
const BACKOFF: u64 = 100_000;
// The state machine's attempts for a function, and the longest wait before the next attempt in microseconds.
const FUNCTION_ATTEMPTS: u32 = 3;
const RETRY_WAIT: u64 = 1_000_000;
/// The value of `HoldSeconds`.
const HOLD: TimeDelta = TimeDelta::seconds(360);
// The same values as in `reserve.rs`, `lease.rs` and `store.rs`.
const LOOK_AFTER: u32 = 8;
const HEAT_ONE_IN: u32 = 4;
const WAITS_FOR_OPENING: std::ops::Range<u32> = 3..6;
const OPENING_MS: i64 = 500;
const ROUNDS_OF_OPENING: u32 = 6;
const MOST_HOLDS: usize = 32;
const PAGE: usize = 100;

/// The error if the ledger was not available.
struct Unavailable;

enum Written {
    Done(Option<Box<Item>>),
    Refused,
    Conflict,
}

/// The requests, and the state that they share.
pub struct Traffic<'a> {
    pub case: &'a Case,
    pub ask: &'a Ask<'a>,
    pub ids: &'a [String],
    pub clock: &'a Clock,
    pub table: Table<'a>,
    pub observer: Observer,
    pub random: RefCell<Rng>,
}

impl<'a> Traffic<'a> {
    /// The life of request `number`.
    pub fn request(&'a self, number: usize) -> Task<'a> {
        Box::pin(async move {
            let arrived = self.clock.now();
            for attempt in 0..FUNCTION_ATTEMPTS {
                if attempt > 0 {
                    self.wait(RETRY_WAIT).await;
                }
                match self.reserve(&self.ids[number], attempt > 0).await {
                    Err(Unavailable) => {}
                    Ok(None) => return,
                    Ok(Some(approved)) => {
                        self.observer.run.borrow_mut().reserved.push(self.clock.now() - arrived);
                        return self.call_and_settle(approved).await;
                    }
                }
            }
            self.observer.run.borrow_mut().failed_closed += 1;
        })
    }

    fn random(&self, most: u64) -> u64 {
        self.random.borrow_mut().u64(0..=most)
    }

    async fn wait(&self, most: u64) {
        let micros = self.random(most);
        self.clock.sleep(micros).await;
    }

    /// The ledger's own pause between rounds.
    async fn pause(&self, round: u32) {
        self.wait(1_000 * longest_pause_ms(round)).await;
    }

    /// The attempt that was approved. `None` if it was denied.
    async fn reserve(&'a self, id: &'a str, again: bool) -> Result<Option<Attempt<'a>>, Unavailable> {
        let holder = Holder { request_id: id, execution_id: id };
        let attempt = Attempt::new(holder, self.ask, crate::at(self.clock.now()), HOLD);
        let ((), placed) = join(self.table.note(), Box::pin(self.placed(attempt, false))).await;
        let mut looked = self.clock.now();
        match Box::pin(self.admit(placed?, again, &mut looked)).await? {
            Ok(approved) => Ok(Some(approved)),
            Err(Admission::Denied { shortage, .. }) => {
                self.observer.denied(shortage.retry_after_seconds.is_some(), looked);
                self.table.note().await;
                Ok(None)
            }
            Err(other) => {
                assert!(matches!(other, Admission::Duplicate(_)), "{other:?}");
                self.observer.run.borrow_mut().duplicates += 1;
                Ok(None)
            }
        }
    }

    async fn placed(&self, mut attempt: Attempt<'a>, is_hot: bool) -> Result<Attempt<'a>, Unavailable> {
        let keys: Vec<Key> = attempt.places.iter().map(Place::own_key).collect();
        let (hold, spot, now_ms) = (self.ask.hold(MOST_TOKENS), attempt.holder.spot(), attempt.now.timestamp_millis());
        let mut found = self.read(&keys, false).await?;
        for round in WAITS_FOR_OPENING {
            if !found.values().any(|own| is_being_opened(own, now_ms)) {
                break;
            }
            self.pause(round).await;
            found = self.read(&keys, false).await?;
        }
        for (place, key) in attempt.places.iter_mut().zip(&keys) {
            let limit = place.budget.limit;
            let own = found.remove(key).unwrap_or_default();
            let (wide, supported) = (spread(limit, own.spread), place.supported(&own, &hold));
            let by_size = grown(limit, own.spread, own.holds.len(), now_ms).filter(|_| wide == 1);
            let by_heat = || heated(limit, own.spread, now_ms).filter(|_| is_hot && self.one_in(HEAT_ONE_IN));
            let own = match by_size.or_else(by_heat).filter(|_| supported > wide) {
                Some(grown) => self.spread(place, &grown.at_most(supported), now_ms).await?.unwrap_or(own),
                None => own,
            };
            place.shard = leased(spot, spread(limit, own.spread).min(supported), &own);
        }
        Ok(attempt)
    }

    async fn admit(
        &self,
        mut attempt: Attempt<'a>,
        again: bool,
        looked: &mut u64,
    ) -> Result<Result<Attempt<'a>, Admission>, Unavailable> {
        let mut looks_first = again;
        for round in 0..ROUNDS {
            let changes = if looks_first { None } else { attempt.changes() };
            if let Some(changes) = changes {
                match self.take(&changes).await? {
                    Written::Done(item) => {
                        Box::pin(self.grow(&attempt, item)).await;
                        return Ok(Ok(attempt));
                    }
                    Written::Conflict => {
                        self.pause(round).await;
                        if round > 0 && !again {
                            attempt = Box::pin(self.placed(attempt, true)).await?;
                        }
                        continue;
                    }
                    Written::Refused => {}
                }
            }
            *looked = self.clock.now();
            let scopes = Box::pin(self.look(&attempt)).await?;
            looks_first = false;
            match attempt.after(&scopes) {
                Step::Done(Admission::Approved { .. }) => return Ok(Ok(attempt)),
                Step::Done(admission) => return Ok(Err(admission)),
                Step::GivenUp => return Err(Unavailable),
                Step::LookAtAll => {
                    looks_first = true;
                    continue;
                }
                Step::Again(groups) => self.renew(groups).await?,
            }
            if round > 0 {
                self.pause(round).await;
            }
        }
        Err(Unavailable)
    }

    async fn renew(&self, groups: Groups) -> Result<(), Unavailable> {
        for together in groups {
            if let [(key, change)] = &together[..] {
                self.change(key, change).await?;
            } else {
                self.observer.run.borrow_mut().renewals += 1;
                let reply = self.table.transact(&together, || {}).await;
                if reply == Reply::TooLarge {
                    return Err(Unavailable);
                }
            }
        }
        Ok(())
    }

    async fn take(&self, changes: &[(Key, Change)]) -> Result<Written, Unavailable> {
        let held = || self.observer.held(self.clock.now());
        let reply = match changes {
            [(key, change)] => self.table.update(key, change, |_| held()).await,
            _ => self.table.transact(changes, held).await,
        };
        match reply {
            Reply::Done(item) => Ok(Written::Done(item)),
            Reply::Refused => Ok(Written::Refused),
            Reply::Conflict | Reply::Throttled => Ok(Written::Conflict),
            Reply::TooLarge => Err(Unavailable),
        }
    }

    async fn grow(&self, attempt: &Attempt<'a>, item: Option<Box<Item>>) {
        let spread: Vec<&Place<'a>> = attempt.places.iter().filter(|place| place.shard.is_some()).collect();
        let look = item.is_none_or(|item| is_large(&item)) && self.one_in(LOOK_AFTER);
        if spread.is_empty() || !look {
            return;
        }
        let now_ms = attempt.now.timestamp_millis();
        let keys: Vec<Key> = spread.iter().flat_map(|place| [place.own_key(), place.key()]).collect();
        let Ok(found) = self.read(&keys, false).await else { return };
        for place in spread {
            self.grow_from(place, &found[&place.own_key()], &found[&place.key()], now_ms).await;
        }
    }

    fn one_in(&self, count: u32) -> bool {
        self.random.borrow_mut().u32(..count) == 0
    }

    async fn grow_from(&self, place: &Place<'a>, own: &Item, shard: &Item, now_ms: i64) {
        if own.spread == shard.spread
            && let Some(grown) = grown(place.budget.limit, own.spread, shard.holds.len(), now_ms)
        {
            let _ = self.spread(place, &grown, now_ms).await;
        }
    }

    /// Spreads a scope over more shards and leases them.
    async fn spread(&self, place: &Place<'a>, grown: &Change, now_ms: i64) -> Result<Option<Item>, Unavailable> {
        let Some(mut own) = self.change(&place.own_key(), grown).await? else { return Ok(None) };
        for together in opened(place.budget, &own, &self.ask.hold(MOST_TOKENS), now_ms) {
            for round in 0..ROUNDS_OF_OPENING {
                self.observer.run.borrow_mut().renewals += 1;
                let reply = self.table.transact(&together, || {}).await;
                if !matches!(reply, Reply::Conflict | Reply::Throttled) {
                    break;
                }
                self.pause(round).await;
            }
            own = together[0].1.apply(&own).unwrap_or(own);
        }
        Ok(Some(own))
    }

    /// The item afterwards. `None` if the condition does not hold.
    async fn change(&self, key: &Key, change: &Change) -> Result<Option<Item>, Unavailable> {
        let settled = |change: &Change| {
            if let Change::Settle { actual, .. } = change
                && key.scope.starts_with(self.ask.budgets[0].limit.scope.as_str())
            {
                self.observer.settled(actual.get(Unit::Usd), self.clock.now());
            }
        };
        for round in 0..ROUNDS {
            for call in 1..=CALL_ATTEMPTS {
                match self.table.update(key, change, settled).await {
                    Reply::Done(item) => return Ok(item.map(|item| *item)),
                    Reply::Refused => return Ok(None),
                    Reply::TooLarge => return Err(Unavailable),
                    Reply::Conflict => break,
                    Reply::Throttled if call < CALL_ATTEMPTS => self.wait(BACKOFF << (call - 1)).await,
                    Reply::Throttled => {}
                }
            }
            self.pause(round).await;
        }
        Err(Unavailable)
    }

    async fn look(&self, attempt: &Attempt<'a>) -> Result<Vec<ScopeItems>, Unavailable> {
        let spot = attempt.holder.spot();
        let own_keys: Vec<Key> = attempt.places.iter().map(Place::own_key).collect();
        for round in 0..ROUNDS {
            {
                let mut run = self.observer.run.borrow_mut();
                let all = attempt.places.iter().any(|place| place.all);
                *(if all { &mut run.full_looks } else { &mut run.looks }) += 1;
            }
            let mut found = self.read(&own_keys, true).await?;
            let mut scopes = Vec::with_capacity(own_keys.len());
            let mut shard_keys = Vec::new();
            for (place, key) in attempt.places.iter().zip(&own_keys) {
                let own = found.remove(key).unwrap();
                let wide = spread(place.budget.limit, own.spread);
                let mut wanted: Vec<u16> = candidates(spot)
                    .filter(|shard| *shard < wide && wide > 1 || own.shards.contains_key(shard))
                    .chain(own.shards.keys().copied().filter(|_| place.all))
                    .collect();
                wanted.sort_unstable();
                wanted.dedup();
                shard_keys.extend(wanted.iter().map(|shard| key.shard(*shard)));
                let shards = wanted.into_iter().map(|shard| (shard, Item::default())).collect();
                scopes.push(ScopeItems { own, shards });
            }
            let mut found = self.read(&shard_keys, true).await?;
            for (items, key) in scopes.iter_mut().zip(&own_keys) {
                for (number, item) in &mut items.shards {
                    *item = found.remove(&key.shard(*number)).unwrap();
                }
            }
            if self.is_unchanged(&own_keys, &scopes).await? {
                return Ok(scopes);
            }
            self.pause(round).await;
        }
        Err(Unavailable)
    }

    async fn is_unchanged(&self, own_keys: &[Key], scopes: &[ScopeItems]) -> Result<bool, Unavailable> {
        let spread =
            own_keys.iter().zip(scopes).filter(|(_, items)| !items.own.shards.is_empty() && items.is_complete());
        let spread: Vec<(&Key, &ScopeItems)> = spread.collect();
        let keys: Vec<Key> = spread.iter().map(|(key, _)| (*key).clone()).collect();
        let now = self.read(&keys, true).await?;
        Ok(spread.iter().all(|(key, items)| now[*key].leases == items.own.leases))
    }

    async fn read(&self, keys: &[Key], consistent: bool) -> Result<HashMap<Key, Item>, Unavailable> {
        let pages = join_all(keys.chunks(PAGE).map(|page| self.read_page(page, consistent))).await;
        let mut items = HashMap::with_capacity(keys.len());
        for page in pages {
            items.extend(page?);
        }
        Ok(items)
    }

    async fn read_page(&self, keys: &[Key], consistent: bool) -> Result<Vec<(Key, Item)>, Unavailable> {
        let (mut items, mut left) = (Vec::with_capacity(keys.len()), keys.to_vec());
        for round in 0..ROUNDS {
            let mut call = 1;
            loop {
                let asked = left.len();
                let (found, unread) = self.table.read(&left, consistent).await;
                items.extend(found);
                left = unread;
                // A call that could read nothing is an error, which the SDK retries.
                if left.len() < asked || asked == 0 {
                    break;
                }
                if call == CALL_ATTEMPTS {
                    return Err(Unavailable);
                }
                self.wait(BACKOFF << (call - 1)).await;
                call += 1;
            }
            if left.is_empty() {
                return Ok(items);
            }
            self.pause(round).await;
        }
        Err(Unavailable)
    }

    async fn call_and_settle(&self, attempt: Attempt<'a>) {
        let (model, actual) = {
            let mut random = self.random.borrow_mut();
            (random.u64(self.case.model.micros()), random.u64(u64::from(MOST_TOKENS) / 10..=MOST_TOKENS.into()))
        };
        let used = self.ask.hold(u32::try_from(actual).unwrap());
        let reservation = attempt.reservation();
        self.clock.sleep(model).await;
        let ended = self.clock.now();
        let actual = Amount { in_flight: 0, ..used };
        let changes = settlements(&reservation, Some(actual), crate::at(ended));
        for function in 0..FUNCTION_ATTEMPTS {
            if function > 0 {
                self.wait(RETRY_WAIT).await;
            }
            let told = self.table.note();
            let each = |((key, change), place): (&(Key, Change), &Place<'a>)| {
                let (key, change, place) = (key.clone(), change.clone(), place.clone());
                async move {
                    let shard = self.change(&key, &change).await?;
                    if place.shard.is_some() {
                        let own = self.read(&[place.own_key()], false).await?.remove(&place.own_key()).unwrap();
                        if let Some(shard) = shard {
                            self.grow_from(&place, &own, &shard, crate::at(ended).timestamp_millis()).await;
                        }
                    }
                    Ok(())
                }
            };
            let all = join_all(changes.iter().zip(&attempt.places).map(each));
            let (all, ()): (Vec<Result<(), Unavailable>>, ()) = join(all, told).await;
            if all.iter().all(Result::is_ok) {
                self.observer.run.borrow_mut().settled.push(self.clock.now() - ended);
                return;
            }
        }
        self.observer.run.borrow_mut().left += 1;
    }
}

fn is_large(item: &Item) -> bool {
    item.holds.len() > MOST_HOLDS && item.spread < MOST_SHARDS
}

fn is_being_opened(own: &Item, now_ms: i64) -> bool {
    own.spread > 1 && own.shards.is_empty() && own.spread_at_ms + OPENING_MS > now_ms
}
