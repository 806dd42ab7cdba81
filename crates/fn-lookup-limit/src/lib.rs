#![doc = include_str!("../README.md")]

mod ahead;
mod item;
mod list;
mod number;
mod reach;
mod scopes;
mod state;

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, SecondsFormat, Utc};
use sentry_contract::request::Tags;
use sentry_contract::states::{LimitsFound, LookupLimitInput, RequestLimits};
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::{LimitWindow, Limits, MOST_SCOPES, MOST_WINDOWS, Remedy, ScopeLimit};
use sentry_lambda::{Failure, cause};

pub use crate::ahead::ItemsAhead;
pub use crate::item::{InvalidItem, Item, KEY, attributes};
use crate::item::{MOST_ENTRIES, Settings};
pub use crate::list::{Listed, ListedItem, scope_of_key};
pub use crate::reach::{KnownModels, Reach, Unreachable, by_key};
pub use crate::scopes::{BudgetTags, InvalidBudgetTags};
use crate::scopes::{DEFAULT, ModelScopes, Scope};
pub use crate::state::{EntryState, State};

/// Maximum number of items that one `BatchGetItem` reads, and of actions in one transaction.
///
/// Source: Amazon DynamoDB API Reference, `BatchGetItem` and `TransactWriteItems`.
pub const MOST_ITEMS: usize = 100;
/// Number of scopes that depend on the model: its own, and that of its foundation model.
const MODEL_SCOPES: usize = 2;
/// Maximum number of keys of one request. The scope of a model has four (metric, id, alias, `default`), the scope of a
/// foundation model two, and the scope of a tag three. The fallback model adds one scope of each of the first two
/// kinds.
const MOST_KEYS: usize = 2 * (4 + 2) + 3 * (MOST_SCOPES - MODEL_SCOPES);
const _: () = assert!(MOST_KEYS <= MOST_ITEMS, "one read finds every limit of a request");
const _: () = assert!(MOST_ENTRIES + 1 == MOST_WINDOWS, "every entry is a window, and what is in flight is one more");
const _: () = assert!(
    (MOST_SCOPES + MODEL_SCOPES) * MOST_WINDOWS < MOST_ITEMS,
    "the ledger holds every window of a request in one transaction with the request itself, and reads the fallback's beside them"
);

/// The limits table, which administrators edit.
#[derive(Debug)]
pub struct LimitsTable {
    client: Client,
    name: String,
    budget_tags: BudgetTags,
}

/// The item that decides for a scope, parsed.
struct Understood<'i> {
    scope: &'i Scope,
    key: &'i str,
    settings: Settings,
}

impl LimitsTable {
    /// Reads the table `name` of a stack whose parameter `BudgetTags` is `budget_tags`.
    #[must_use]
    pub const fn new(client: Client, name: String, budget_tags: BudgetTags) -> Self {
        Self { client, name, budget_tags }
    }

    /// All limits that apply to the request at `now`, or the reason why nothing is allowed. If one of them allows
    /// `fallback`, the result also has the limits of the fallback model, unless these are missing, malformed or
    /// stopped.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if the table cannot be read completely.
    pub async fn lookup(&self, input: &LookupLimitInput, now: DateTime<Utc>) -> Result<LimitsFound, Failure> {
        self.lookup_ahead(input, None, now).await
    }

    /// Does the same as [`Self::lookup`], but reads nothing if `ahead` has all items that can apply.
    ///
    /// # Errors
    /// The same as for [`Self::lookup`].
    pub async fn lookup_ahead(
        &self,
        input: &LookupLimitInput,
        ahead: Option<&ItemsAhead>,
        now: DateTime<Utc>,
    ) -> Result<LimitsFound, Failure> {
        let scopes = RequestScopes::of(input, &self.budget_tags);
        if let Some(ahead) = ahead.filter(|ahead| scopes.keys().all(|key| ahead.has_read(key))) {
            return Ok(scopes.limits_in(ahead.items(), now));
        }
        let items = self.read(scopes.keys()).await?;
        Ok(scopes.limits_in(&items, now))
    }

    /// The keys of all items that can apply to the request.
    #[must_use]
    pub fn keys(&self, input: &LookupLimitInput) -> BTreeSet<String> {
        RequestScopes::of(input, &self.budget_tags).keys().cloned().collect()
    }

    /// The limits of `tags` alone, whatever model a request calls, at `now`.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if the table cannot be read completely.
    pub async fn of_tags(&self, tags: &Tags, now: DateTime<Utc>) -> Result<LimitsFound, Failure> {
        let scopes = scopes::of_tags(tags, &self.budget_tags);
        let items = self.read(scopes.iter().flat_map(|scope| &scope.keys)).await?;
        let found = match all_of(scopes.iter(), &items) {
            Ok(found) => found,
            Err(malformed) => return Ok(LimitsFound::Denied { denial: Box::new(malformed.into()) }),
        };
        if let Some(stopped) = found.iter().find_map(Understood::stopped) {
            return Ok(LimitsFound::Denied { denial: Box::new(stopped) });
        }
        let limits = RequestLimits { tags: in_force(&found, now), ..RequestLimits::default() };
        Ok(LimitsFound::Found { limits: Box::new(limits) })
    }

    /// The items that exist under `keys`, which are fewer than the 100 keys of one `BatchGetItem`.
    async fn read(&self, keys: impl Iterator<Item = &String>) -> Result<HashMap<String, Item>, Failure> {
        let wanted = ahead::wanted(keys).map_err(|error| unavailable(&cause(&error)))?;
        let answer = self.client.batch_get_item().request_items(&self.name, wanted).send().await;
        let answer = answer.map_err(|error| unavailable(&cause(&error)))?;
        if answer.unprocessed_keys().is_some_and(|left| !left.is_empty()) {
            return Err(unavailable("DynamoDB left keys unprocessed: the table is throttled"));
        }
        Ok(ahead::by_key(answer.responses.unwrap_or_default().remove(&self.name).unwrap_or_default()))
    }
}

/// Items of a limits table in memory, such as the ones that an administrator proposes.
#[derive(Clone, Debug, Default)]
pub struct LimitItems {
    items: HashMap<String, Item>,
    budget_tags: BudgetTags,
}

impl LimitItems {
    /// The items by key, for a stack whose parameter `BudgetTags` is `budget_tags`.
    #[must_use]
    pub const fn new(items: HashMap<String, Item>, budget_tags: BudgetTags) -> Self {
        Self { items, budget_tags }
    }

    /// The same as [`LimitsTable::lookup`], if the table had these items.
    #[must_use]
    pub fn lookup(&self, input: &LookupLimitInput, now: DateTime<Utc>) -> LimitsFound {
        RequestScopes::of(input, &self.budget_tags).limits_in(&self.items, now)
    }
}

/// Checks an item as the function reads it. `key` is its partition key.
///
/// # Errors
/// The field that is not understood, and why.
pub fn check(key: &str, item: &Item) -> Result<(), InvalidItem> {
    item::parse(key, item, key.ends_with(&format!("#{DEFAULT}"))).map(|_| ())
}

/// The scopes of one request.
struct RequestScopes {
    model: ModelScopes,
    tags: Vec<Scope>,
    fallback: Option<ModelScopes>,
}

impl RequestScopes {
    fn of(input: &LookupLimitInput, budget_tags: &BudgetTags) -> Self {
        let LookupLimitInput { model, tags, fallback } = input;
        Self {
            model: ModelScopes::of(model),
            tags: scopes::of_tags(tags, budget_tags),
            fallback: fallback.as_ref().map(|fallback| ModelScopes::of(&fallback.model)),
        }
    }

    /// The keys of all items that can apply.
    fn keys(&self) -> impl Iterator<Item = &String> {
        let of_either = self.model.iter().chain(self.fallback.iter().flat_map(ModelScopes::iter));
        of_either.chain(&self.tags).flat_map(|scope| &scope.keys)
    }

    fn limits_in(&self, items: &HashMap<String, Item>, now: DateTime<Utc>) -> LimitsFound {
        match found(&self.model, &self.tags, self.fallback.as_ref(), items, now) {
            Ok(limits) => LimitsFound::Found { limits: Box::new(limits) },
            Err(denial) => LimitsFound::Denied { denial },
        }
    }
}

/// The limits in `items`, or the reason why nothing is allowed.
fn found(
    of_model: &ModelScopes,
    of_tags: &[Scope],
    of_fallback: Option<&ModelScopes>,
    items: &HashMap<String, Item>,
    now: DateTime<Utc>,
) -> Result<RequestLimits, Box<ErrorBody>> {
    if first_hit(&of_model.own, items).is_none() {
        return Err(Box::new(not_configured(&of_model.own)));
    }
    let malformed = |malformed: InvalidItem| Box::new(ErrorBody::from(malformed));
    let model = all_of(of_model.iter(), items).map_err(malformed)?;
    let tags = all_of(of_tags.iter(), items).map_err(malformed)?;
    if let Some(stopped) = model.iter().chain(&tags).find_map(Understood::stopped) {
        return Err(Box::new(stopped));
    }
    let model_limits = in_force(&model, now);
    let own = |limits: &[ScopeLimit], scopes: &ModelScopes| {
        limits.first().is_some_and(|limit| limit.scope == scopes.own.name)
    };
    if !own(&model_limits, of_model) {
        return Err(Box::new(not_in_force(&of_model.own, &model, now)));
    }
    let mut limits = RequestLimits { model: model_limits, tags: in_force(&tags, now), fallback: Vec::new() };
    // A shared item replaces the name of its scope, so the limits need sorting again.
    limits.tags.sort_by(|one, other| one.scope.cmp(&other.scope));
    if let Some(of_fallback) = of_fallback
        && limits.wanted().any(|limit| limit.allows(Remedy::Fallback) || limit.may_respond_by_fallback())
        && let Ok(fallback) = all_of(of_fallback.iter(), items)
        && fallback.iter().all(|found| found.settings.stopped.is_none())
    {
        limits.fallback = Some(in_force(&fallback, now)).filter(|limits| own(limits, of_fallback)).unwrap_or_default();
    }
    Ok(limits)
}

/// The item that decides for `scope`, also if it is malformed.
fn first_hit<'i>(scope: &'i Scope, items: &'i HashMap<String, Item>) -> Option<(&'i str, &'i Item)> {
    scope.keys.iter().find_map(|key| Some((key.as_str(), items.get(key)?)))
}

/// The parsed items that decide for `scopes`, or the first malformed one.
fn all_of<'i>(
    scopes: impl Iterator<Item = &'i Scope>,
    items: &'i HashMap<String, Item>,
) -> Result<Vec<Understood<'i>>, InvalidItem> {
    let hits = scopes.filter_map(|scope| first_hit(scope, items).map(|(key, item)| (scope, key, item)));
    hits.map(|(scope, key, item)| {
        Ok(Understood { scope, key, settings: item::parse(key, item, scope.is_of_all_values(key))? })
    })
    .collect()
}

/// The windows of `understood` that are in force at `now`.
fn in_force(understood: &[Understood<'_>], now: DateTime<Utc>) -> Vec<ScopeLimit> {
    understood.iter().flat_map(|found| found.limits(now)).collect()
}

impl Understood<'_> {
    /// The scope that the budget belongs to. A shared item has one budget for all values, under the item's key.
    fn name(&self) -> &str {
        if self.settings.shared { self.key } else { &self.scope.name }
    }

    fn limits(&self, now: DateTime<Utc>) -> Vec<ScopeLimit> {
        let Settings { per_request, enforce, shards, when_exceeded, .. } = &self.settings;
        let windows = self.settings.in_force(now).into_iter().enumerate();
        let limits = windows.map(|(position, window)| {
            let limit = ScopeLimit {
                scope: self.name().to_owned(),
                source: self.scope.source(self.key).to_owned(),
                item: self.key.to_owned(),
                window: LimitWindow::from(&window.window),
                limits: window.limits,
                // `perRequest` applies to a request once, so only the first window has it.
                per_request: if position == 0 { *per_request } else { Limits::default() },
                enforce: *enforce,
                alert_at: window.alert_at,
                shards: *shards,
                when_exceeded: when_exceeded.clone(),
                respond: None,
            };
            match window.respond {
                Some((at, reaction)) => limit.responding(at, reaction),
                None => limit,
            }
        });
        limits.collect()
    }

    fn stopped(&self) -> Option<ErrorBody> {
        let reason = self.settings.stopped.as_deref()?;
        let message = format!(
            "An admin has stopped {}: {reason}. Nothing is sent to the model until an admin removes `stopped` from the limits item {}.",
            self.name(),
            self.key
        );
        let error = ErrorBody::new(ErrorCode::Stopped, message);
        Some(error.with("scope", self.name()).with("reason", reason).with("item", self.key))
    }
}

fn not_configured(scope: &Scope) -> ErrorBody {
    let message = format!(
        "There is no limit for {0} and no default, so every request is denied. Put an item with the key {0} or {DEFAULT} into the limits table.",
        scope.keys.first().map_or(DEFAULT, String::as_str)
    );
    ErrorBody::new(ErrorCode::LimitNotConfigured, message).with("keys", scope.keys.clone())
}

/// The denial if the model has an item, but no window of the item is in force.
fn not_in_force(scope: &Scope, understood: &[Understood<'_>], now: DateTime<Utc>) -> ErrorBody {
    let item = understood.first().map_or(DEFAULT, |found| found.key);
    let message = format!(
        "By their from and until, no limit of the item {item} is in force at {}, so every request of {} is denied. Add a window that is in force.",
        now.to_rfc3339_opts(SecondsFormat::Secs, true),
        scope.name
    );
    ErrorBody::new(ErrorCode::LimitNotConfigured, message).with("keys", scope.keys.clone()).with("item", item)
}

fn unavailable(reason: &str) -> Failure {
    Failure::new(ErrorCode::LedgerUnavailable, format!("the limits table cannot be read: {reason}"))
}

#[cfg(test)]
mod tests;
