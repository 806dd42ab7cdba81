//! Usage of a scope by day.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use sentry_domain::Amount;

use crate::error::{HistoryError, unavailable};
use crate::sums::Sums;
use crate::{DAY, EXPIRES_AT, History, SCOPE};

/// One UTC day of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The date of the day.
    pub day: NaiveDate,
    /// The numbers that were counted on the day.
    pub sums: Sums,
}

impl History {
    /// The usage of `scope` since `from`, in whole UTC days up to `now`. It is zero for a window that has no UTC
    /// midnight in it or at its start.
    ///
    /// It is the sum of the days that begin at `from` or later, up to today. A day that began before `from` is not
    /// counted:
    ///
    /// - A UTC month or week contains no such day, so the sum is exact. A UTC day is counted whole.
    /// - A window of another time zone begins within a UTC day. If that day counted, every new window would begin with
    ///   hours of the window before it. For example, a day in Tokyo would begin with all usage of the day before.
    ///   Requests that have room would be denied, in every window. Because the day does not count, a budget that is set
    ///   in mid-window misses up to 24 hours of usage, in its first window only.
    /// - Minutes and hours begin at zero. Only the first window after a budget was set can have usage from before.
    ///
    /// Requests whose messages are still in the queue are not included.
    ///
    /// # Errors
    /// If the table cannot be reached, or an item cannot be understood.
    pub async fn spent(&self, scope: &str, from: DateTime<Utc>, now: DateTime<Utc>) -> Result<Amount, HistoryError> {
        let Some(first) = first_whole_day(from) else { return Ok(Amount::ZERO) };
        let days = self.days(scope, first, now.date_naive()).await?;
        Ok(days.iter().map(|day| day.sums.spent()).sum())
    }

    /// The days of `scope` from `first` to `last`, both included, in order. A day without a decided request is left
    /// out.
    ///
    /// # Errors
    /// If the table cannot be reached, or an item cannot be understood.
    pub async fn days(&self, scope: &str, first: NaiveDate, last: NaiveDate) -> Result<Vec<Day>, HistoryError> {
        if first > last {
            // DynamoDB rejects such a range.
            return Ok(Vec::new());
        }
        let text = |text: String| AttributeValue::S(text);
        let mut days = Vec::new();
        let mut start = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("#scope = :scope AND #day BETWEEN :first AND :last")
                .expression_attribute_names("#scope", SCOPE)
                .expression_attribute_names("#day", DAY)
                .expression_attribute_values(":scope", text(scope.to_owned()))
                .expression_attribute_values(":first", text(first.to_string()))
                .expression_attribute_values(":last", text(last.to_string()))
                .set_exclusive_start_key(start);
            let page = query.send().await.map_err(unavailable)?;
            for item in page.items() {
                days.push(read(scope, item)?);
            }
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(days);
            }
        }
    }
}

/// The first UTC day that does not begin before `from`.
fn first_whole_day(from: DateTime<Utc>) -> Option<NaiveDate> {
    let day = from.date_naive();
    if from.time() == NaiveTime::MIN { Some(day) } else { day.checked_add_days(Days::new(1)) }
}

/// Reads the item of a day of `scope`.
pub fn read(scope: &str, item: &HashMap<String, AttributeValue>) -> Result<Day, HistoryError> {
    let day = item.get(DAY).and_then(|day| day.as_s().ok()).map_or("", String::as_str);
    let damaged = |attribute: &str| HistoryError::Damaged {
        scope: scope.to_owned(),
        day: day.to_owned(),
        attribute: attribute.to_owned(),
    };
    let mut sums = Sums::default();
    for (attribute, value) in item {
        if [SCOPE, DAY, EXPIRES_AT].contains(&attribute.as_str()) {
            continue;
        }
        let number: Option<u128> = value.as_n().ok().and_then(|number| number.parse().ok());
        sums.add(attribute, number.ok_or_else(|| damaged(attribute))?);
    }
    Ok(Day { day: day.parse().map_err(|_| damaged(DAY))?, sums })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_the_window_cuts_is_not_counted() {
        let first = |from: &str| first_whole_day(from.parse().unwrap()).unwrap().to_string();
        assert_eq!(first("2026-11-01T00:00:00Z"), "2026-11-01");
        assert_eq!(first("2026-10-31T15:00:00Z"), "2026-11-01");
        assert_eq!(first("2026-11-21T00:00:00.000000001Z"), "2026-11-22");
        assert_eq!(first_whole_day(DateTime::<Utc>::MAX_UTC), None);
    }

    #[test]
    fn an_item_is_read_to_the_letter() {
        let item = |value: AttributeValue| {
            HashMap::from([
                (SCOPE.to_owned(), AttributeValue::S("user#jo".to_owned())),
                (DAY.to_owned(), AttributeValue::S("2026-11-21".to_owned())),
                (EXPIRES_AT.to_owned(), AttributeValue::N("1".to_owned())),
                ("input".to_owned(), value),
            ])
        };
        let day = read("user#jo", &item(AttributeValue::N("7".to_owned()))).unwrap();
        assert_eq!((day.day.to_string().as_str(), day.sums.spent().input), ("2026-11-21", 7));
        let damaged = |value| read("user#jo", &item(value)).unwrap_err().to_string();
        let expected = "the item user#jo 2026-11-21 of the usage history cannot be understood: input";
        assert_eq!(damaged(AttributeValue::N("-7".to_owned())), expected);
        assert_eq!(damaged(AttributeValue::S("7".to_owned())), expected);
    }
}
