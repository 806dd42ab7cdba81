//! Tokens that bypassed the sentry, by model and day.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, NaiveDate, Utc};

use crate::error::{HistoryError, unavailable};
use crate::record::number;
use crate::sums::attribute::{INPUT, OUTPUT};
use crate::{DAY, Day, EXPIRES_AT, History, SCOPE};

/// Prefix of the partition key. The `ModelId` dimension follows.
const UNGOVERNED: &str = "ungoverned#";
/// Input tokens that CloudWatch had counted at [`SEEN_AT`].
const SEEN_INPUT: &str = "seenInput";
/// Output tokens that CloudWatch had counted at [`SEEN_AT`].
const SEEN_OUTPUT: &str = "seenOutput";
/// Second since 1970 of the last write. It is the version of the item.
const SEEN_AT: &str = "seenAt";
/// Tokens of the figure that are published as a metric.
const PUBLISHED: &str = "published";

/// The tokens of one model on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input tokens, including tokens that were read from or written to a prompt cache.
    pub input: u64,
    /// Output tokens that the model wrote.
    pub output: u64,
}

impl Tokens {
    /// The sum of both kinds.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// `of` applied to each kind of both.
    #[must_use]
    pub fn with(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self { input: of(self.input, other.input), output: of(self.output, other.output) }
    }
}

/// One UTC day of a model: the tokens that bypassed the sentry, and the figure that the next one is made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ungoverned {
    /// Tokens that certainly bypassed the sentry. The figure of a day only grows.
    pub tokens: Tokens,
    /// Tokens that CloudWatch had counted for the day at `seen_at`.
    pub seen: Tokens,
    /// The second since 1970 at which CloudWatch was asked.
    pub seen_at: i64,
    /// The number of `tokens` that is published as a metric.
    pub published: u64,
}

impl Ungoverned {
    /// The figures in the item of a day.
    #[must_use]
    pub fn of(day: &Day) -> Self {
        let count = |name: &str| u64::try_from(day.sums.get(name)).unwrap_or(u64::MAX);
        Self {
            tokens: Tokens { input: count(INPUT), output: count(OUTPUT) },
            seen: Tokens { input: count(SEEN_INPUT), output: count(SEEN_OUTPUT) },
            seen_at: i64::try_from(day.sums.get(SEEN_AT)).unwrap_or(i64::MAX),
            published: count(PUBLISHED),
        }
    }
}

impl History {
    /// The figures of a model for the days from `first` to `last`, in order. Days without an item are left out.
    ///
    /// # Errors
    /// If the table cannot be reached, or an item cannot be understood.
    pub async fn ungoverned(
        &self,
        model: &str,
        first: NaiveDate,
        last: NaiveDate,
    ) -> Result<Vec<(NaiveDate, Ungoverned)>, HistoryError> {
        let days = self.days(&scope(model), first, last).await?;
        Ok(days.iter().map(|day| (day.day, Ungoverned::of(day))).collect())
    }

    /// Writes the figures of a model and day, all but `published`. Returns `false` if the item is no longer `before`.
    ///
    /// # Errors
    /// If the table cannot be reached.
    pub async fn write_ungoverned(
        &self,
        model: &str,
        day: NaiveDate,
        before: Option<&Ungoverned>,
        after: &Ungoverned,
    ) -> Result<bool, HistoryError> {
        let mut update = self
            .of_day(&scope(model), day)
            .update_expression(
                "SET #input = :input, #output = :output, #seenInput = :seenInput, #seenOutput = :seenOutput, \
                 #at = :at, #expires = :expires",
            )
            .expression_attribute_names("#at", SEEN_AT)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_values(":at", number(after.seen_at))
            .expression_attribute_values(":expires", number(self.kept_until(day).timestamp()));
        let numbers = [
            (INPUT, after.tokens.input),
            (OUTPUT, after.tokens.output),
            (SEEN_INPUT, after.seen.input),
            (SEEN_OUTPUT, after.seen.output),
        ];
        for (name, value) in numbers {
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), number(value));
        }
        let update = match before {
            None => update.condition_expression("attribute_not_exists(#at)"),
            Some(before) => update
                .condition_expression("#at = :before")
                .expression_attribute_values(":before", number(before.seen_at)),
        };
        written(update).await
    }

    /// Notes that the metric of a model and day has all of `total`, up from `before`. Returns `false` if the item
    /// says otherwise.
    ///
    /// # Errors
    /// If the table cannot be reached.
    pub async fn ungoverned_is_published(
        &self,
        model: &str,
        day: NaiveDate,
        before: u64,
        total: u64,
    ) -> Result<bool, HistoryError> {
        let absent = if before == 0 { "attribute_not_exists(#published) OR " } else { "" };
        let update = self
            .of_day(&scope(model), day)
            .update_expression("SET #published = :total")
            .condition_expression(format!("{absent}#published = :before"))
            .expression_attribute_names("#published", PUBLISHED)
            .expression_attribute_values(":before", number(before))
            .expression_attribute_values(":total", number(total));
        written(update).await
    }

    fn of_day(&self, scope: &str, day: NaiveDate) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key(SCOPE, AttributeValue::S(scope.to_owned()))
            .key(DAY, AttributeValue::S(day.to_string()))
    }

    /// The time after which the item of `day` may be deleted.
    pub(crate) fn kept_until(&self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
        midnight + chrono::TimeDelta::days(1 + i64::from(self.kept_days))
    }
}

fn scope(model: &str) -> String {
    format!("{UNGOVERNED}{model}")
}

/// Sends an update. Returns `false` if its condition is not met.
pub(crate) async fn written(update: UpdateItemFluentBuilder) -> Result<bool, HistoryError> {
    match update.send().await {
        Ok(_) => Ok(true),
        Err(error) if is_condition(&error) => Ok(false),
        Err(error) => Err(unavailable(error)),
    }
}

fn is_condition<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_)))
}
