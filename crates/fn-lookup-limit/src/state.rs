//! The meaning of an item at a moment, for the command of administrators.

use chrono::{DateTime, Utc};
use sentry_domain::Limits;

use crate::item::{self, InvalidItem, Item};
use crate::scopes::DEFAULT;

/// The meaning of an item at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// In the item's order. Empty if the item does nothing but stop its scope.
    pub entries: Vec<EntryState>,
    /// The reason why nothing is admitted, if the scope is stopped.
    pub stopped: Option<String>,
    /// `true` if the limits deny nothing.
    pub only_observes: bool,
    /// `true` if all values without an item of their own share one budget.
    pub shared: bool,
}

/// A limit with its window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryState {
    /// Such as `month` or `from 2026-12-01T00:00:00Z`.
    pub window: String,
    /// The limits without a raise.
    pub limits: Limits,
    /// The limits of a raise that is in force, and its end.
    pub raised: Option<(Limits, DateTime<Utc>)>,
    /// `true` if the limit applies at the moment.
    pub is_in_force: bool,
}

impl State {
    /// The meaning of `item`, which has the key `key`, at `now`.
    ///
    /// # Errors
    /// The field that is not understood, and why.
    pub fn of(key: &str, item: &Item, now: DateTime<Utc>) -> Result<Self, InvalidItem> {
        let settings = item::parse(key, item, key.ends_with(&format!("#{DEFAULT}")))?;
        let entries = settings.entries.iter().map(|entry| EntryState {
            window: entry.window_text(),
            limits: entry.own_limits(),
            raised: entry.raised(now),
            is_in_force: entry.is_in_force(now),
        });
        Ok(Self {
            entries: entries.collect(),
            stopped: settings.stopped.clone(),
            only_observes: !settings.enforce.is_deny(),
            shared: settings.shared,
        })
    }
}
