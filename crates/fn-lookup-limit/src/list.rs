//! All limits of the table, for reports.

use chrono::{DateTime, Utc};
use sentry_contract::scope::{of_model, of_tag};
use sentry_domain::{LimitWindow, Limits};
use sentry_lambda::{Failure, cause};

use crate::item::{self, Item, KEY, Settings};
use crate::scopes::{DEFAULT, FOUNDATION};
use crate::{LimitsTable, unavailable};

/// An item of the limits table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedItem {
    /// The key of the item, as the administrator wrote it.
    pub key: String,
    /// The meaning of the item, or the reason why it is malformed.
    pub listed: Result<Listed, String>,
}

/// The meaning of an item at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The windows in force, each with its limits.
    pub windows: Vec<(LimitWindow, Limits)>,
    /// `true` if the limits deny nothing.
    pub only_observes: bool,
    /// `true` if all values without an item of their own share one budget, under the item's key.
    pub shared: bool,
}

impl LimitsTable {
    /// All items of the table, by key, with the windows that are in force at `now`. It reads the whole table.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn list(&self, now: DateTime<Utc>) -> Result<Vec<ListedItem>, Failure> {
        let mut listed = Vec::new();
        let mut start = None;
        loop {
            let scan = self.client.scan().table_name(&self.name).set_exclusive_start_key(start);
            let page = scan.send().await.map_err(|error| unavailable(&cause(&error)))?;
            listed.extend(page.items().iter().filter_map(|item| ListedItem::of(item, now)));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                listed.sort_by(|one, other| one.key.cmp(&other.key));
                return Ok(listed);
            }
        }
    }
}

impl ListedItem {
    fn of(item: &Item, now: DateTime<Utc>) -> Option<Self> {
        let key = item.get(KEY)?.as_s().ok()?;
        let is_of_all_values = key.ends_with(&format!("#{DEFAULT}"));
        let settings = item::parse(key, item, is_of_all_values).map_err(|malformed| malformed.to_string());
        Some(Self { key: key.clone(), listed: settings.map(|settings| Listed::of(&settings, now)) })
    }

    /// The kinds of the scopes that the item is for if it is for all values: `costCenter`, `application+environment`, or
    /// `model` for the item `default`. `None` for the item of one scope.
    #[must_use]
    pub fn kind_of_all(&self) -> Option<String> {
        if self.key == DEFAULT {
            return Some("model".to_owned());
        }
        let parts: Option<Vec<&str>> =
            self.key.split('+').map(|part| part.strip_suffix(DEFAULT)?.strip_suffix('#')).collect();
        Some(parts?.join("+"))
    }

    /// The name of the scope that the item is for if it is for one scope, or shared by all values. A key without a kind is
    /// that of a model, by its metric, id or alias.
    #[must_use]
    pub fn scope(&self) -> String {
        scope_of_key(&self.key)
    }
}

/// The name of the scope of the item with the key `key`. A key without a kind is that of a model, by its metric, id or
/// alias.
#[must_use]
pub fn scope_of_key(key: &str) -> String {
    if !key.contains('#') {
        return of_model(key);
    }
    // A key has the values as written or in lower case, and they are encoded already.
    let parts = key.split('+').map(|part| match part.split_once('#') {
        Some((kind, value)) if kind == FOUNDATION => format!("{kind}#{value}"),
        Some((kind, value)) => of_tag(kind, "") + &value.to_lowercase(),
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("+")
}

impl Listed {
    fn of(settings: &Settings, now: DateTime<Utc>) -> Self {
        let windows = settings.in_force(now);
        Self {
            windows: windows.iter().map(|window| (LimitWindow::from(&window.window), window.limits)).collect(),
            only_observes: !settings.enforce.is_deny(),
            shared: settings.shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::scan::ScanOutput;
    use aws_sdk_dynamodb::types::AttributeValue;
    use aws_smithy_mocks::{RuleMode, mock};
    use test_support::mock_client;

    use super::*;

    fn listed(key: &str, more: &[(&str, AttributeValue)]) -> ListedItem {
        let limit = HashMap::from([("output".to_owned(), AttributeValue::N("7".to_owned()))]);
        let mut item = Item::from([
            (KEY.to_owned(), AttributeValue::S(key.to_owned())),
            ("limit".to_owned(), AttributeValue::M(limit)),
        ]);
        item.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        ListedItem::of(&item, "2026-11-21T12:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_item_is_listed_with_its_window_and_its_scope() {
        let item = listed("costCenter#Marketing", &[]);
        let understood = item.listed.as_ref().unwrap();
        assert_eq!(understood.windows[0].0.name, "2026-11");
        assert_eq!(understood.windows[0].1, Limits { output: Some(7), ..Limits::default() });
        assert_eq!((item.scope().as_str(), item.kind_of_all()), ("costCenter#marketing", None));
        assert_eq!(listed("us.amazon.nova-lite-v1:0", &[]).scope(), "model#us.amazon.nova-lite-v1:0");
        assert_eq!(listed("application#A%2bb+environment#Prod", &[]).scope(), "application#a%2bb+environment#prod");
    }

    #[test]
    fn an_item_for_all_values_names_their_kind() {
        let kind = |key: &str| listed(key, &[]).kind_of_all();
        assert_eq!(kind("default").as_deref(), Some("model"));
        assert_eq!(kind("costCenter#default").as_deref(), Some("costCenter"));
        assert_eq!(kind("application#default+environment#default").as_deref(), Some("application+environment"));
        assert_eq!(kind("application#default+environment#prod"), None);
        let shared = listed("costCenter#default", &[("shared", AttributeValue::Bool(true))]);
        assert!(shared.listed.unwrap().shared);
    }

    #[test]
    fn a_malformed_item_is_listed_with_its_fault() {
        let item = listed("user#jo", &[("limits", AttributeValue::S("no".to_owned()))]);
        assert!(item.listed.unwrap_err().contains("user#jo"));
    }

    #[tokio::test]
    async fn every_page_of_the_table_is_listed_by_key() {
        let item = |key: &str| {
            let limit = HashMap::from([("output".to_owned(), AttributeValue::N("7".to_owned()))]);
            let key = AttributeValue::S(key.to_owned());
            Item::from([(KEY.to_owned(), key), ("limit".to_owned(), AttributeValue::M(limit))])
        };
        let first = mock!(Client::scan)
            .match_requests(|scan| scan.exclusive_start_key().is_none() && scan.table_name() == Some("limits"))
            .then_output(move || {
                let last = AttributeValue::S("user#jo".to_owned());
                ScanOutput::builder().items(item("user#jo")).last_evaluated_key(KEY, last).build()
            });
        let second = mock!(Client::scan)
            .match_requests(|scan| scan.exclusive_start_key().is_some())
            .then_output(move || ScanOutput::builder().items(item("default")).build());
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, &[&first, &second]);
        let table = LimitsTable::new(client, "limits".to_owned(), crate::BudgetTags::default());
        let listed = table.list("2026-11-21T12:00:00Z".parse().unwrap()).await.unwrap();
        assert_eq!(listed.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["default", "user#jo"]);
    }
}
