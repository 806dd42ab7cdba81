//! Tells whether any request can reach an item, by the keys that a look-up tries.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sentry_contract::request::{Model, Tags};
use sentry_contract::scope::{DIMENSIONS, encoded, of_foundation};
use sentry_contract::tag_value::usable_at_length;
use thiserror::Error;

use crate::item::{self, Item, KEY};
use crate::scopes::{BudgetTags, DEFAULT, FOUNDATION, MODEL, MOST_KEY_BYTES, ModelScopes, USER};

/// The models that requests can name.
#[derive(Clone, Debug, Default)]
pub struct KnownModels {
    /// Each name with its model, or with the reason why no request can name it. It must have the name of every item
    /// whose key has no kind.
    pub by_name: HashMap<String, Result<Model, String>>,
    /// Other models that requests can reach, such as application inference profiles.
    pub others: Vec<Model>,
    /// `true` if a request for one model can be sent to a profile that has the request's tags.
    pub profiles_by_tags: bool,
}

/// The reason why no request reaches an item, or why it has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreachable {
    /// The key is longer than any key of a table.
    #[error("its key has {0} bytes; a key has at most {MOST_KEY_BYTES}")]
    TooLong(usize),
    /// A part of the key names no kind of scope.
    #[error("{kind} is no kind of scope; write {meant}")]
    Misspelled {
        /// The kind as the key has it.
        kind: String,
        /// The kind with a similar name.
        meant: String,
    },
    /// A part of the key names no kind of scope, and no kind has a similar name.
    #[error("{kind} is no kind of scope, and no tag of the parameter BudgetTags ({declared})")]
    UnknownKind {
        /// The kind as the key has it.
        kind: String,
        /// The value of `BudgetTags`.
        declared: String,
    },
    /// The key of a model has the name of its scope.
    #[error("the item of a model has the name of the model alone; write {0}")]
    ModelPrefix(String),
    /// A value has one of the characters that separate the parts of a key.
    #[error("+, # and % in a value are written %2B, %23 and %25; {0} has one that is not")]
    NotEncoded(String),
    /// The key mixes both forms that a look-up tries.
    #[error("a look-up tries the values as requests have them ({written}), then all of them in lower case ({lower})")]
    MixedCase {
        /// The key with values as a request has them.
        written: String,
        /// The same in lower case.
        lower: String,
    },
    /// No request can have the value.
    #[error("no request can have this {kind}: a value {problem}")]
    Value {
        /// The kind of the scope.
        kind: String,
        /// The rule that the value does not meet.
        problem: String,
    },
    /// Kinds that have no scope together.
    #[error("{0} cannot be joined with another scope; only application, costCenter and environment can")]
    NotJoined(String),
    /// A kind is in the key twice.
    #[error("{0} is there twice")]
    Repeated(String),
    /// The parts are not in alphabetical order.
    #[error("its parts are in the wrong order; write {0}")]
    Order(String),
    /// The key is the name of no model that can be called.
    #[error("it names no model that a request can call: {0}")]
    Model(String),
    /// The key is for a foundation model, but is not the id of one that can be called.
    #[error("{0}")]
    Foundation(String),
    /// Every request that looks the item up finds another one before it.
    #[error("every request that looks it up finds the item {0} before it")]
    Shadowed(String),
    /// All windows have ended.
    #[error("all its windows have ended; the last one on {0}")]
    Ended(DateTime<Utc>),
}

/// The items of a limits table, to tell which of them no request can reach.
#[derive(Clone, Debug)]
pub struct Reach<'a> {
    /// The tags that have budgets.
    pub budget_tags: &'a BudgetTags,
    /// The models that requests can name.
    pub models: &'a KnownModels,
    /// All items of the table by key, because one can stand before another.
    pub items: &'a HashMap<String, Item>,
    /// The moment after which a window must be in force.
    pub now: DateTime<Utc>,
}

impl Reach<'_> {
    /// Checks that a request can reach the item `item` under `key`, and that one of its windows is not over.
    ///
    /// An item that is malformed is reached, because it denies requests. A model's item whose windows have ended is reached
    /// for the same reason.
    ///
    /// # Errors
    /// The reason why no request can reach it.
    pub fn check(&self, key: &str, item: &Item) -> Result<(), Unreachable> {
        if key.len() > MOST_KEY_BYTES {
            return Err(Unreachable::TooLong(key.len()));
        }
        if !key.contains('#') {
            return self.model(key);
        }
        if let Some(id) = key.strip_prefix(&of_foundation("")) {
            self.foundation(key, id)?;
        } else {
            self.values(key)?;
        }
        self.not_ended(key, item)
    }

    fn model(&self, key: &str) -> Result<(), Unreachable> {
        if key == DEFAULT {
            return Ok(());
        }
        let mut before = None;
        for model in self.known() {
            let keys = ModelScopes::of(model).own.keys;
            if !keys.iter().any(|other| other == key) {
                continue;
            }
            let first = keys.into_iter().find(|other| other == key || self.decides(other));
            match first {
                Some(first) if first != key && !self.models.profiles_by_tags => {
                    before = Some(before.map_or(first.clone(), |other: String| other.min(first)));
                }
                _ => return Ok(()),
            }
        }
        match (before, self.models.by_name.get(key)) {
            (Some(before), _) => Err(Unreachable::Shadowed(before)),
            (None, Some(Err(reason))) => Err(Unreachable::Model(reason.clone())),
            (None, _) => Ok(()),
        }
    }

    /// `true` if there is an item under `key` that stays. An item that only stops its scope goes when the scope is resumed.
    fn decides(&self, key: &str) -> bool {
        let only_stops = |item: &Item| {
            item::parse(key, item, false)
                .is_ok_and(|settings| settings.entries.is_empty() && settings.stopped.is_some())
        };
        self.items.get(key).is_some_and(|item| !only_stops(item))
    }

    fn foundation(&self, key: &str, id: &str) -> Result<(), Unreachable> {
        let is_key = |model: &Model| {
            let scope = ModelScopes::of(model).foundation;
            scope.is_some_and(|scope| scope.keys.iter().any(|other| other == key))
        };
        if id == DEFAULT || self.known().any(is_key) {
            return Ok(());
        }
        let problem = match self.models.by_name.get(id) {
            Some(Ok(Model { foundation: Some(foundation), .. })) => format!(
                "{id} is a profile or an alias of the foundation model {foundation}; write {}",
                of_foundation(foundation)
            ),
            Some(Ok(_)) => format!("the foundation model of {id} is not known; give the model's own item the limit"),
            Some(Err(reason)) => format!("{id} is the id of no foundation model that a request can call: {reason}"),
            None => format!("{id} is the id of no foundation model"),
        };
        Err(Unreachable::Foundation(problem))
    }

    fn known(&self) -> impl Iterator<Item = &Model> {
        self.models.by_name.values().filter_map(|model| model.as_ref().ok()).chain(&self.models.others)
    }

    /// Checks the key of a scope of one tag, or of several dimensions.
    fn values(&self, key: &str) -> Result<(), Unreachable> {
        let mut parts: Vec<(&str, &str)> = Vec::new();
        for part in key.split('+') {
            match part.split_once('#') {
                Some((kind, value)) => parts.push((kind, value)),
                None => return Err(Unreachable::NotEncoded(part.to_owned())),
            }
        }
        self.kinds(key, &parts)?;
        if parts.iter().all(|(_, value)| *value == DEFAULT) {
            return Ok(());
        }
        for (kind, value) in &parts {
            if !is_encoded(&value.replace("%2b", "%2B")) {
                return Err(Unreachable::NotEncoded(format!("{kind}#{value}")));
            }
        }
        let decoded: Vec<(&str, String)> = parts.iter().map(|(kind, value)| (*kind, decoded(value))).collect();
        let written = joined(&decoded, &|value| encoded(value));
        let lower = joined(&decoded, &|value| encoded(value).to_lowercase());
        if key != written && key != lower {
            return Err(Unreachable::MixedCase { written, lower });
        }
        for (kind, value) in &decoded {
            usable_at_length(value, least_chars(value, key == lower))
                .map_err(|problem| Unreachable::Value { kind: (*kind).to_owned(), problem })?;
        }
        // Without letters, both forms belong to one request, which tries the form as written first.
        let has_letters = decoded.iter().any(|(_, value)| value.to_uppercase() != *value);
        if key != written && !has_letters && self.decides(&written) {
            return Err(Unreachable::Shadowed(written));
        }
        Ok(())
    }

    fn kinds(&self, key: &str, parts: &[(&str, &str)]) -> Result<(), Unreachable> {
        let dimension = |kind: &str| DIMENSIONS.iter().position(|(name, _)| *name == kind);
        for (kind, value) in parts {
            let is_tag = *kind == USER || self.budget_tags.has(kind);
            match dimension(kind) {
                Some(_) => {}
                None if parts.len() == 1 && *kind == MODEL => {
                    return Err(Unreachable::ModelPrefix((*value).to_owned()));
                }
                None if parts.len() == 1 && is_tag => {}
                None if is_tag || [MODEL, FOUNDATION].contains(kind) => {
                    return Err(Unreachable::NotJoined((*kind).to_owned()));
                }
                None => return Err(self.unknown(kind)),
            }
        }
        let positions: Vec<Option<usize>> = parts.iter().map(|(kind, _)| dimension(kind)).collect();
        if let Some((kind, _)) = parts
            .iter()
            .enumerate()
            .find_map(|(at, part)| parts.iter().take(at).any(|other| other.0 == part.0).then_some(part))
        {
            return Err(Unreachable::Repeated((*kind).to_owned()));
        }
        if !positions.is_sorted() {
            let mut sorted: Vec<&str> = key.split('+').collect();
            sorted.sort_unstable();
            return Err(Unreachable::Order(sorted.join("+")));
        }
        Ok(())
    }

    fn unknown(&self, kind: &str) -> Unreachable {
        let tags = DIMENSIONS.iter().map(|(name, tag)| (*tag, *name)).chain([(Tags::USER_ID, USER)]);
        let names = DIMENSIONS.iter().map(|(name, _)| *name).chain([USER, FOUNDATION]).chain(self.budget_tags.names());
        let candidates = tags.chain(names.map(|name| (name, name)));
        let similar = candidates
            .map(|(written, meant)| (distance(&kind.to_lowercase(), &written.to_lowercase()), meant))
            .min_by_key(|(distance, _)| *distance);
        match similar {
            Some((distance, meant)) if distance <= 2 && distance * 2 < kind.chars().count() => {
                Unreachable::Misspelled { kind: kind.to_owned(), meant: meant.to_owned() }
            }
            _ => {
                let declared = self.budget_tags.names().collect::<Vec<_>>().join(", ");
                let declared = if declared.is_empty() { "none".to_owned() } else { declared };
                Unreachable::UnknownKind { kind: kind.to_owned(), declared }
            }
        }
    }

    fn not_ended(&self, key: &str, item: &Item) -> Result<(), Unreachable> {
        let Ok(settings) = item::parse(key, item, key.ends_with(&format!("#{DEFAULT}"))) else { return Ok(()) };
        match settings.last_end() {
            Some(end) if end <= self.now && settings.stopped.is_none() => Err(Unreachable::Ended(end)),
            _ => Ok(()),
        }
    }
}

/// The items by key.
pub fn by_key(items: impl IntoIterator<Item = Item>) -> HashMap<String, Item> {
    let keyed = items.into_iter().filter_map(|item| Some((item.get(KEY)?.as_s().ok()?.clone(), item)));
    keyed.collect()
}

/// `true` if `%`, `+` and `#` are encoded in `value`.
fn is_encoded(value: &str) -> bool {
    !value.contains(['+', '#'])
        && value.split('%').skip(1).all(|rest| ["25", "2B", "23"].iter().any(|code| rest.starts_with(code)))
}

/// The value behind the part `value` of a key.
fn decoded(value: &str) -> String {
    value.replace("%2B", "+").replace("%2b", "+").replace("%23", "#").replace("%25", "%")
}

fn joined(parts: &[(&str, String)], form: &dyn Fn(&str) -> String) -> String {
    parts.iter().map(|(kind, value)| format!("{kind}#{}", form(value))).collect::<Vec<_>>().join("+")
}

/// The fewest characters that a value has that is `value`, or has the form `value` in lower case. `İ` is the only character
/// that becomes two.
fn least_chars(value: &str, is_lower: bool) -> usize {
    value.chars().count() - if is_lower { value.matches("i\u{307}").count() } else { 0 }
}

/// The number of characters to insert, delete, replace, or swap with their neighbor.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, j) + usize::from(a != b);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && one.get(i - 1) == Some(b) && other.get(j - 1) == Some(a);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
