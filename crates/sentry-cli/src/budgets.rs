//! The budgets of a report: each item of the limits table, with the scopes that it applies to and their days.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use fn_lookup_limit::{BudgetTags, LimitsTable, Listed, ListedItem};
use sentry_contract::scope::of_model;
use sentry_domain::LimitWindow;
use sentry_history::{Day, History};
use sentry_models::Catalogue;
use sentry_report::{BudgetInput, DaysByScope, Reading};

/// Windows that are shorter are in no report, because the history counts days.
const SHORTEST_OF_A_REPORT: TimeDelta = TimeDelta::hours(23);

/// The limits that can be read.
#[derive(Debug, Default)]
pub struct Known {
    pub budgets: Vec<BudgetInput>,
    /// Keys of malformed items, with the reason.
    pub malformed: Vec<(String, String)>,
    /// Scopes of shared items.
    pub shared: BTreeSet<String>,
}

/// How an item applies.
struct Applies<'i> {
    scope: Reading<String>,
    item: &'i ListedItem,
    listed: &'i Listed,
}

/// Reads the limits, and the budgets that apply at `at`.
pub async fn read(
    table: &LimitsTable,
    catalogue: &Catalogue,
    region: &str,
    days: &DaysByScope,
    at: DateTime<Utc>,
) -> Reading<Known> {
    match table.list(at).await {
        Ok(items) => Reading::Known(known(&items, catalogue, region, days, at).longer_than(SHORTEST_OF_A_REPORT)),
        Err(error) => Reading::Unknown(format!("{error}.")),
    }
}

/// The limits table of a stack.
pub fn table(client: aws_sdk_dynamodb::Client, name: String) -> LimitsTable {
    LimitsTable::new(client, name, BudgetTags::default())
}

impl Known {
    /// Leaves out the budgets of windows that are shorter than `shortest`.
    fn longer_than(mut self, shortest: TimeDelta) -> Self {
        let is_long = |window: &LimitWindow| window.resets_at.is_none_or(|end| end - window.start >= shortest);
        self.budgets.retain(|budget| is_long(&budget.window));
        self
    }
}

/// The budgets of `items` in the windows that contain `at`.
pub fn known(
    items: &[ListedItem],
    catalogue: &Catalogue,
    region: &str,
    days: &DaysByScope,
    at: DateTime<Utc>,
) -> Known {
    let mut known = Known::default();
    let mut applies: Vec<Applies<'_>> = Vec::new();
    let own = own_scopes(items, catalogue, region, days, at);
    for item in items {
        match &item.listed {
            Err(fault) => known.malformed.push((item.key.clone(), fault.clone())),
            Ok(listed) => {
                if listed.shared {
                    known.shared.insert(item.key.clone());
                }
                let scopes = scopes(item, listed, &own, days);
                applies.extend(scopes.into_iter().map(|scope| Applies { scope, item, listed }));
            }
        }
    }
    known.budgets = applies.iter().flat_map(|applies| applies.budgets(days)).collect();
    known
}

/// The scope of each item that is for one scope, by key. The reason if it is not known.
fn own_scopes(
    items: &[ListedItem],
    catalogue: &Catalogue,
    region: &str,
    days: &DaysByScope,
    at: DateTime<Utc>,
) -> BTreeMap<String, Reading<String>> {
    let single = items.iter().filter(|item| item.kind_of_all().is_none());
    let mut own: BTreeMap<String, Reading<String>> = BTreeMap::new();
    let mut of_metrics: BTreeSet<String> = BTreeSet::new();
    for item in single {
        let scope = item.scope();
        if item.key.contains('#') || days.contains_key(&scope) {
            of_metrics.insert(scope.clone());
            own.insert(item.key.clone(), Reading::Known(scope));
            continue;
        }
        let resolved = catalogue.resolve(&item.key, region, at.date_naive()).ok();
        let reading = resolved.map(|resolved| of_model(&resolved.model.model_metric)).map_or_else(
            || Reading::Unknown("the key is the name of no model that the catalogue of this program knows.".to_owned()),
            Reading::Known,
        );
        own.insert(item.key.clone(), reading);
    }
    // The item of the metric comes before that of an id or an alias.
    own.retain(|key, scope| !matches!(scope, Reading::Known(scope) if of_metrics.contains(scope) && !key.contains('#') && of_model(key) != *scope));
    own
}

fn scopes(
    item: &ListedItem,
    listed: &Listed,
    own: &BTreeMap<String, Reading<String>>,
    days: &DaysByScope,
) -> Vec<Reading<String>> {
    if listed.shared {
        return vec![Reading::Known(item.key.clone())];
    }
    let Some(kind) = item.kind_of_all() else { return own.get(&item.key).cloned().into_iter().collect() };
    let has_own = |scope: &str| own.values().any(|reading| matches!(reading, Reading::Known(other) if other == scope));
    let of_kind = days.keys().filter(|scope| self::kind(scope) == kind && !has_own(scope));
    of_kind.map(|scope| Reading::Known(scope.clone())).collect()
}

/// `costCenter` for `costCenter#support`, `application+environment` for a combination.
pub fn kind(scope: &str) -> String {
    let kinds = scope.split('+').map(|part| part.split_once('#').map_or(part, |(kind, _)| kind));
    kinds.collect::<Vec<_>>().join("+")
}

impl Applies<'_> {
    fn budgets(&self, days: &DaysByScope) -> Vec<BudgetInput> {
        let budgets = self.listed.windows.iter().map(|(window, limits)| BudgetInput {
            scope: match &self.scope {
                Reading::Known(scope) => scope.clone(),
                Reading::Unknown(_) => self.item.key.clone(),
            },
            item: self.item.key.clone(),
            window: window.clone(),
            limits: *limits,
            only_observes: self.listed.only_observes,
            days: match &self.scope {
                Reading::Known(scope) => Reading::Known(days.get(scope).cloned().unwrap_or_default()),
                Reading::Unknown(reason) => Reading::Unknown(reason.clone()),
            },
        });
        budgets.collect()
    }
}

/// Reads the days of budgets whose window begins before `first`, the first day that is read already.
pub async fn complete(budgets: &mut [BudgetInput], history: &History, first: NaiveDate, last: NaiveDate) {
    for budget in budgets {
        let start = budget.window.start.date_naive();
        if start >= first || matches!(budget.days, Reading::Unknown(_)) {
            continue;
        }
        let days: Result<Vec<Day>, _> = history.days(&budget.scope, start, last).await;
        budget.days = days.map_or_else(|error| Reading::Unknown(format!("{error}.")), Reading::Known);
    }
}

/// Marks the budgets of scopes with unreadable days as unknown.
pub fn mark_unreadable(budgets: &mut [BudgetInput], unreadable: &[(String, NaiveDate)]) {
    for budget in budgets {
        let start = budget.window.start.date_naive();
        if let Some((_, day)) = unreadable.iter().find(|(scope, day)| *scope == budget.scope && *day >= start) {
            budget.days = Reading::Unknown(format!("the history's item of {day} cannot be understood."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentry_domain::{Limits, Window, WindowKind};
    use sentry_history::Sums;

    fn at() -> DateTime<Utc> {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn item(key: &str, kind: WindowKind, shared: bool) -> ListedItem {
        let window = LimitWindow::from(&Window::containing(kind, "UTC".parse().unwrap(), at()));
        let limits = Limits { output: Some(7), ..Limits::default() };
        ListedItem {
            key: key.to_owned(),
            listed: Ok(Listed { windows: vec![(window, limits)], only_observes: false, shared }),
        }
    }

    fn days(scopes: &[&str]) -> DaysByScope {
        let day = Day { day: at().date_naive(), sums: Sums::default() };
        scopes.iter().map(|scope| ((*scope).to_owned(), vec![day.clone()])).collect()
    }

    fn scopes_of(items: &[ListedItem], scopes: &[&str]) -> Vec<(String, String)> {
        let known = known(items, &Catalogue::bundled().unwrap(), "us-east-1", &days(scopes), at());
        known.budgets.into_iter().map(|budget| (budget.item, budget.scope)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(item, scope)| ((*item).to_owned(), (*scope).to_owned())).collect()
    }

    #[test]
    fn a_default_applies_to_every_value_without_an_item_of_its_own() {
        let items =
            [item("costCenter#Sales", WindowKind::Month, false), item("costCenter#default", WindowKind::Month, false)];
        let found =
            scopes_of(&items, &["costCenter#sales", "costCenter#support", "costCenter#support+model#m", "user#jo"]);
        assert_eq!(
            found,
            pairs(&[("costCenter#Sales", "costCenter#sales"), ("costCenter#default", "costCenter#support")])
        );
    }

    #[test]
    fn a_shared_item_is_one_budget() {
        let items = [item("costCenter#default", WindowKind::Month, true)];
        let found = scopes_of(&items, &["costCenter#default", "costCenter#support"]);
        assert_eq!(found, pairs(&[("costCenter#default", "costCenter#default")]));
    }

    #[test]
    fn the_item_of_a_model_is_found_by_metric_or_alias_and_the_metric_comes_first() {
        let metric = "us.amazon.nova-lite-v1:0";
        let items = [item("nova-lite", WindowKind::Month, false), item("default", WindowKind::Month, false)];
        let found = scopes_of(&items, &["model#us.amazon.nova-lite-v1:0", "model#other"]);
        assert_eq!(found, pairs(&[("nova-lite", "model#us.amazon.nova-lite-v1:0"), ("default", "model#other")]));
        let both = [item("nova-lite", WindowKind::Month, false), item(metric, WindowKind::Month, false)];
        assert_eq!(
            scopes_of(&both, &["model#us.amazon.nova-lite-v1:0"]),
            pairs(&[(metric, "model#us.amazon.nova-lite-v1:0")])
        );
    }

    #[test]
    fn a_name_of_no_model_is_unknown_and_short_windows_are_left_out() {
        let items = [item("no-such-model", WindowKind::Month, false), item("user#jo", WindowKind::Minute, false)];
        let known = known(&items, &Catalogue::bundled().unwrap(), "us-east-1", &days(&[]), at());
        let known = known.longer_than(SHORTEST_OF_A_REPORT);
        assert_eq!(known.budgets.len(), 1);
        assert!(matches!(&known.budgets[0].days, Reading::Unknown(_)));
    }
}
