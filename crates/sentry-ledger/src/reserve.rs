//! Taking a hold on every scope that applies, or finding out why not.

use chrono::{DateTime, Duration, Utc};
use sentry_contract::states::{Remedy, Reservation, ReservedScope, ScopeLimit};
use sentry_domain::Amount;

use crate::admission::{Ask, Shortage, Verdict};
use crate::change::{Bounds, Change};
use crate::figures::Figures;
use crate::item::Hold;
use crate::key::Key;
use crate::lease;
use crate::settle::expiries;
use crate::store::{Ledger, LedgerError, ROUNDS, Registered, ScopeItems, Written, pause};

/// How long a scope's item is kept after its window, in days: for a look back, and for holds that reach into the next window.
const KEPT_DAYS: i64 = 8;
/// As much of an execution's id as tells it from others with the same request id: the last group of the UUID at its end, 48
/// random bits. Every hold carries it, and every write of an item pays for its holds.
const OWNER_CHARS: usize = 12;

/// Whose hold it is.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The idempotency key.
    pub request_id: &'a str,
    /// The execution that works on it.
    pub execution_id: &'a str,
}

impl Holder<'_> {
    /// What tells the execution from every other.
    #[must_use]
    pub fn owner(&self) -> String {
        let skipped = self.execution_id.chars().count().saturating_sub(OWNER_CHARS);
        self.execution_id.chars().skip(skipped).collect()
    }
}

/// What became of a request for a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is taken on every scope.
    Approved(Reservation),
    /// It does not fit; nothing is held.
    Denied {
        /// Where.
        shortage: Shortage,
        /// The figures of every limit, by which it was judged.
        figures: Vec<Figures>,
    },
    /// A request with the same id is in flight or was settled.
    Duplicate,
}

/// Which of the models that may answer a request it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The one that was asked for.
    Wanted,
    /// The one that may step in.
    Fallback,
}

/// What follows from a look at the scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The request is decided.
    Done(Admission),
    /// To be tried again after these changes, each group as a whole or not at all.
    Again(Vec<Vec<(Key, Change)>>),
}

/// A hold that is being taken.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// Whose.
    pub holder: Holder<'a>,
    /// For what.
    pub ask: &'a Ask<'a>,
    /// Now.
    pub now: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// As many tokens as the model may write.
    pub max_tokens: u32,
    /// For each limit the shard to hold in, or `None` for the scope's own item.
    pub places: Vec<Option<u8>>,
}

impl Ledger {
    /// Takes a hold for `ask` on every one of its limits, for `hold_for`; all of them or none.
    ///
    /// Repeating it, after a crash for instance, finds the hold that was taken.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or is contended: whether a hold was taken is then unknown.
    pub async fn reserve(
        &self,
        holder: Holder<'_>,
        ask: &Ask<'_>,
        now: DateTime<Utc>,
        hold_for: Duration,
    ) -> Result<Admission, LedgerError> {
        self.reserve_either(holder, ask, None, now, hold_for).await.map(|(admission, _)| admission)
    }

    /// The same, or for `fallback` where `ask` does not fit and its limits let another model answer; never for both.
    /// What is refused is refused as `ask` was. The first limit of each is its model's own.
    ///
    /// # Errors
    /// As for [`Self::reserve`].
    pub async fn reserve_either(
        &self,
        holder: Holder<'_>,
        ask: &Ask<'_>,
        fallback: Option<&Ask<'_>>,
        now: DateTime<Utc>,
        hold_for: Duration,
    ) -> Result<(Admission, Choice), LedgerError> {
        let owner = holder.owner();
        let before = match self.register(holder.request_id, &owner, now).await? {
            Registered::First => false,
            Registered::Again => true,
            Registered::Other => return Ok((Admission::Duplicate, Choice::Wanted)),
        };
        let now = DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now);
        let wanted = Attempt::new(holder, ask, now, hold_for);
        let (admission, choice) = match fallback {
            None => (self.admit(wanted, before).await?, Choice::Wanted),
            Some(fallback) => self.choose(&wanted, &Attempt::new(holder, fallback, now, hold_for), before).await?,
        };
        if !matches!(admission, Admission::Approved(_)) {
            self.forget(holder.request_id, &owner).await?;
        }
        Ok((admission, choice))
    }

    /// Tries both in the order that the limits want. When the execution was here before, the hold that it may have for the
    /// fallback is looked for first: the scopes that both have in common do not tell whose it is.
    async fn choose(
        &self,
        wanted: &Attempt<'_>,
        fallback: &Attempt<'_>,
        before: bool,
    ) -> Result<(Admission, Choice), LedgerError> {
        if before {
            let scopes = self.snapshot(fallback.ask.limits).await?;
            if let Some(found @ Admission::Approved(_)) = fallback.found(&scopes) {
                return Ok((found, Choice::Fallback));
            }
        }
        let first = Ask { has_fallback: true, ..*wanted.ask };
        let refused = self.admit(Attempt { ask: &first, ..wanted.clone() }, before).await?;
        if !matches!(&refused, Admission::Denied { shortage, .. } if shortage.may_fall_back) {
            return Ok((refused, Choice::Wanted));
        }
        if let approved @ Admission::Approved(_) = self.admit(fallback.clone(), false).await? {
            return Ok((approved, Choice::Fallback));
        }
        let clamp_last = |limit: &ScopeLimit| limit.when_exceeded == [Remedy::Fallback, Remedy::Clamp];
        let admission = match wanted.ask.limits.iter().any(clamp_last) {
            true => self.admit(wanted.clone(), false).await?,
            false => refused,
        };
        Ok((admission, Choice::Wanted))
    }

    /// Tries to write; what is refused is looked at, and tried again as long as the figures say that it fits. When the
    /// execution was here before, it looks first: its hold may be in another shard than the one that it would try now.
    async fn admit(&self, mut attempt: Attempt<'_>, before: bool) -> Result<Admission, LedgerError> {
        for round in 0..ROUNDS {
            let changes = if before && round == 0 { None } else { attempt.changes() };
            if let Some(changes) = changes {
                match self.change_all(&changes).await? {
                    Written::Done => return Ok(Admission::Approved(attempt.reservation())),
                    Written::Conflict => {
                        pause(round).await;
                        continue;
                    }
                    Written::Refused => {}
                }
            }
            let scopes = self.snapshot(attempt.ask.limits).await?;
            match attempt.after(&scopes) {
                Step::Done(admission) => return Ok(admission),
                Step::Again(changes) => {
                    for together in changes {
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
}

impl<'a> Attempt<'a> {
    fn new(holder: Holder<'a>, ask: &'a Ask<'a>, now: DateTime<Utc>, hold_for: Duration) -> Self {
        let places = lease::places(ask.limits);
        Self { holder, ask, now, expires_at: now + hold_for, max_tokens: ask.max_tokens, places }
    }
}

impl Attempt<'_> {
    fn hold_amount(&self) -> Amount {
        self.ask.hold(self.max_tokens)
    }

    fn hold(&self) -> Hold {
        Hold {
            amount: self.hold_amount(),
            taken_ms: self.now.timestamp_millis(),
            expires_ms: self.expires_at.timestamp_millis(),
            owner: self.holder.owner(),
        }
    }

    /// The change of each scope; `None` when one cannot hold it whatever the ledger says.
    #[must_use]
    pub fn changes(&self) -> Option<Vec<(Key, Change)>> {
        let hold = self.hold();
        let limits = self.ask.limits.iter().zip(&self.places).enumerate();
        let change = |(place, (limit, shard)): (usize, (&ScopeLimit, &Option<u8>))| {
            let id = self.holder.request_id.to_owned();
            let bounds = Bounds::new(&limit.limits, &self.ask.seen_of(place), &hold.amount)?;
            let hold = hold.clone();
            let change = match shard {
                None => Change::Take {
                    id,
                    hold,
                    bounds,
                    terms: lease::terms(&limit.limits),
                    delete_after: delete_after(limit),
                },
                Some(_) => Change::Draw {
                    id,
                    hold,
                    limited: limit.limits.limited(),
                    terms: lease::terms(&limit.limits),
                    now_ms: self.now.timestamp_millis(),
                },
            };
            Some((Key::of(limit, *shard), change))
        };
        limits.map(change).collect()
    }

    /// What follows from a look at the scopes: an earlier hold is found, expired ones are settled, and then the figures decide.
    pub fn after(&mut self, scopes: &[ScopeItems]) -> Step {
        if let Some(admission) = self.found(scopes) {
            return Step::Done(admission);
        }
        let now_ms = self.now.timestamp_millis();
        let items = self.ask.limits.iter().zip(scopes).flat_map(|(limit, items)| {
            items.iter().flat_map(|(shard, item)| expiries(&Key::of(limit, shard), item, now_ms))
        });
        let expired: Vec<_> = items.map(|change| vec![change]).collect();
        if !expired.is_empty() {
            return Step::Again(expired);
        }
        let figures: Vec<Figures> = scopes.iter().map(ScopeItems::figures).collect();
        match self.ask.judge(&figures, now_ms) {
            Verdict::Denied(shortage) => Step::Done(Admission::Denied { shortage, figures }),
            Verdict::Fits(max_tokens) => {
                self.max_tokens = max_tokens;
                Step::Again(lease::room(&self.hold_amount(), self.ask, scopes, &mut self.places, now_ms))
            }
        }
    }

    /// The hold as an earlier attempt of this execution took it, or another execution's of the same name.
    fn found(&self, scopes: &[ScopeItems]) -> Option<Admission> {
        let held = |items: &ScopeItems| {
            let mut items = items.iter();
            items.find_map(|(shard, item)| Some((shard, item.holds.get(self.holder.request_id)?.clone())))
        };
        let holds: Vec<_> = scopes.iter().filter_map(held).collect();
        let (_, first) = holds.first()?;
        let complete = holds.len() == scopes.len() && holds.iter().all(|(_, hold)| hold == first);
        if !complete || first.owner != self.holder.owner() {
            return Some(Admission::Duplicate);
        }
        let at = |ms| DateTime::from_timestamp_millis(ms).unwrap_or(self.now);
        let earlier = Attempt {
            now: at(first.taken_ms),
            expires_at: at(first.expires_ms),
            max_tokens: u32::try_from(first.amount.output).unwrap_or(self.max_tokens),
            places: holds.iter().map(|(shard, _)| *shard).collect(),
            ..*self
        };
        Some(Admission::Approved(Reservation { hold: first.amount, ..earlier.reservation() }))
    }

    /// The hold, once it is taken.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        let scope = |(place, (limit, shard)): (usize, (&ScopeLimit, &Option<u8>))| ReservedScope {
            limit: limit.clone(),
            seen: self.ask.seen_of(place),
            usage_age_seconds: None,
            shard: *shard,
        };
        Reservation {
            request_id: self.holder.request_id.to_owned(),
            execution_id: self.holder.execution_id.to_owned(),
            max_tokens: self.max_tokens,
            hold: self.hold_amount(),
            held_at: self.now,
            expires_at: self.expires_at,
            scopes: self.ask.limits.iter().zip(&self.places).enumerate().map(scope).collect(),
        }
    }
}

/// When DynamoDB may delete an item of the limit's window, in seconds since 1970.
pub(crate) fn delete_after(limit: &ScopeLimit) -> i64 {
    (limit.window.resets_at + Duration::days(KEPT_DAYS)).timestamp()
}
