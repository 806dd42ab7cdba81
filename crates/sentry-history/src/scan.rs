//! Days of all scopes.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::NaiveDate;

use crate::error::{HistoryError, unavailable};
use crate::spent::{Day, read};
use crate::{DAY, History, SCOPE};

/// The days of all scopes.
#[derive(Debug, Default)]
pub struct AllDays {
    /// The days of each scope, in order.
    pub by_scope: BTreeMap<String, Vec<Day>>,
    /// An error for each item that cannot be understood, always [`HistoryError::Damaged`].
    pub damaged: Vec<HistoryError>,
}

impl History {
    /// The days of all scopes from `first` to `last`, both included.
    ///
    /// It reads the whole table, because the table has no index by day: such an index would double the write units of
    /// every count. The reads are eventually consistent. An item that cannot be understood does not keep back the others.
    ///
    /// # Errors
    /// If the table cannot be reached.
    pub async fn all_days(&self, first: NaiveDate, last: NaiveDate) -> Result<AllDays, HistoryError> {
        let mut found = AllDays::default();
        let mut start = None;
        loop {
            let scan = self
                .client
                .scan()
                .table_name(&self.table)
                // The sort key of a marker is no day, so no marker is between two days.
                .filter_expression("#day BETWEEN :first AND :last")
                .expression_attribute_names("#day", DAY)
                .expression_attribute_values(":first", AttributeValue::S(first.to_string()))
                .expression_attribute_values(":last", AttributeValue::S(last.to_string()))
                .set_exclusive_start_key(start);
            let page = scan.send().await.map_err(unavailable)?;
            page.items().iter().for_each(|item| found.add(item));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                found.by_scope.values_mut().for_each(|days| days.sort_by_key(|day| day.day));
                return Ok(found);
            }
        }
    }
}

impl AllDays {
    fn add(&mut self, item: &HashMap<String, AttributeValue>) {
        let scope = item.get(SCOPE).and_then(|scope| scope.as_s().ok()).map_or("", String::as_str);
        match read(scope, item) {
            Ok(day) => self.by_scope.entry(scope.to_owned()).or_default().push(day),
            Err(damaged) => self.damaged.push(damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::scan::ScanOutput;
    use aws_smithy_mocks::{RuleMode, mock};
    use test_support::mock_client;

    use super::*;

    fn item(scope: &str, day: &str, requests: &str) -> HashMap<String, AttributeValue> {
        HashMap::from([
            (SCOPE.to_owned(), AttributeValue::S(scope.to_owned())),
            (DAY.to_owned(), AttributeValue::S(day.to_owned())),
            ("requests".to_owned(), AttributeValue::N(requests.to_owned())),
        ])
    }

    #[test]
    fn a_damaged_item_is_named_and_does_not_keep_back_the_others() {
        let mut found = AllDays::default();
        found.add(&item("user#jo", "2026-11-21", "7"));
        found.add(&item("user#jo", "2026-11-22", "-7"));
        found.add(&item("user#al", "2026-11-22", "1"));
        let requests: Vec<(&str, u128)> =
            found.by_scope.iter().map(|(scope, days)| (scope.as_str(), days[0].sums.get("requests"))).collect();
        assert_eq!(requests, [("user#al", 1), ("user#jo", 7)]);
        assert_eq!(
            found.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["the item user#jo 2026-11-22 of the usage history cannot be understood: requests"]
        );
    }

    #[tokio::test]
    async fn every_page_is_read_and_the_days_come_in_order() {
        let page = |day: &str| ScanOutput::builder().items(item("user#jo", day, "1"));
        let first = mock!(Client::scan)
            .match_requests(|scan| scan.exclusive_start_key().is_none() && scan.table_name() == Some("usage"))
            .then_output(move || {
                page("2026-11-22").last_evaluated_key(SCOPE, AttributeValue::S("k".to_owned())).build()
            });
        let second = mock!(Client::scan)
            .match_requests(|scan| scan.exclusive_start_key().is_some_and(|key| key.contains_key(SCOPE)))
            .then_output(move || page("2026-11-21").build());
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, &[&first, &second]);
        let (from, to) = ("2026-11-01".parse().unwrap(), "2026-11-30".parse().unwrap());
        let found = History::new(client, "usage".to_owned()).all_days(from, to).await.unwrap();
        let days: Vec<String> = found.by_scope["user#jo"].iter().map(|day| day.day.to_string()).collect();
        assert_eq!((days.join(" ").as_str(), second.num_calls()), ("2026-11-21 2026-11-22", 1));
    }
}
