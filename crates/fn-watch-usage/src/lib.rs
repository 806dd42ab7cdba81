#![doc = include_str!("../README.md")]

mod cloudwatch;
pub mod figure;

use std::collections::BTreeMap;
use std::ops::Range;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime as SdkDateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use futures_util::StreamExt;
use futures_util::stream;
use sentry_contract::{ErrorCode, METRIC_NAMESPACE, scope};
use sentry_history::{Day, History, HistoryError, Tokens, Ungoverned};
use sentry_lambda::{Failure, cause};
use serde::Serialize;
use tracing::{error, info, warn};

use crate::cloudwatch::Counted;
pub use crate::cloudwatch::Queues;
use crate::figure::{Facts, LONGEST_REQUEST};

/// Name of the metric.
const METRIC: &str = "UngovernedTokens";
/// Dimension of the metric.
const MODEL_ID: &str = "ModelId";
/// Time from the end of a call to the history, beside the time that messages are collected: `Settle`, the queue and
/// one invocation of its function.
const ON_THE_WAY: TimeDelta = TimeDelta::seconds(15);
/// Time from now that the age of the queue is looked at. SQS publishes its metrics every minute, and they are late.
///
/// Source: Amazon SQS Developer Guide, "Monitoring Amazon SQS queues using CloudWatch", read in November 2026.
const LOOK_BACK: TimeDelta = TimeDelta::minutes(10);
/// Number of models that are looked at at the same time.
const AT_ONCE: usize = 8;
/// Maximum number of data points in one call.
///
/// Source: Amazon CloudWatch API Reference, `PutMetricData`, read in November 2026.
const MOST_DATA: usize = 1_000;

/// The results of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Number of models and days that were looked at.
    pub looked_at: usize,
    /// Tokens that this run published.
    pub published: u64,
    /// `true` if messages for the history are late or lost, so that nothing was decided.
    pub in_doubt: bool,
}

/// Compares the tokens that CloudWatch counts with those of the usage history.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    history: History,
    queues: Queues,
    /// Age of CloudWatch's numbers after which the history has all of their calls.
    settled_after: TimeDelta,
}

/// One model and day whose metric is behind its figure.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Increase {
    model: String,
    day: NaiveDate,
    published: u64,
    total: u64,
}

impl Watch {
    /// A watch of a stack whose messages wait for `window` before they are counted in `history`.
    #[must_use]
    pub fn new(client: Client, history: History, queues: Queues, window: TimeDelta) -> Self {
        Self { client, history, queues, settled_after: window + ON_THE_WAY }
    }

    /// Looks at every model that was called in the last three hours, and publishes the tokens that bypassed the sentry.
    /// In the first hour of a day, it also finishes the day before.
    ///
    /// # Errors
    /// `UsageUnavailable` if CloudWatch does not answer completely, and `LedgerUnavailable` if a figure cannot be
    /// read, written or published. The next run makes up for it.
    pub async fn run(&self, now: DateTime<Utc>) -> Result<Report, Failure> {
        let unknown = |error| Failure::caused(ErrorCode::UsageUnavailable, &error);
        let today = now.date_naive();
        let yesterday = today.checked_sub_days(Days::new(1)).filter(|_| now.hour() == 0);
        let days: Vec<NaiveDate> = yesterday.into_iter().chain([today]).collect();
        let start = midnight(yesterday.unwrap_or(today));
        let mut asked = cloudwatch::active(&self.client).await.map_err(unknown)?;
        asked.extend(cloudwatch::of_queues(&self.queues));
        let counted = cloudwatch::counted(&self.client, &asked, start.min(now - LOOK_BACK), now).await;
        let counted = counted.map_err(unknown)?;
        if self.is_in_doubt(&counted, now) {
            return Ok(Report { in_doubt: true, ..Report::default() });
        }
        let wanted =
            counted.models.iter().flat_map(|(model, minutes)| days.iter().map(move |day| (model, minutes, *day)));
        let wanted = wanted.filter(|(_, minutes, day)| minutes.range(span(*day)).next().is_some());
        let looks = wanted.map(|(model, minutes, day)| self.look(model, minutes, day, now));
        let looks: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        let mut report = Report { looked_at: looks.len(), ..Report::default() };
        let mut failed = 0_usize;
        let mut increases = Vec::new();
        for look in looks {
            match look {
                Ok(increase) => increases.extend(increase),
                Err(problem) => {
                    error!(
                        cause = cause(&problem),
                        "a model's ungoverned usage is not known; the next run tries again"
                    );
                    failed += 1;
                }
            }
        }
        for some in increases.chunks(MOST_DATA) {
            failed += self.publish(some, now, &mut report).await;
        }
        if failed > 0 {
            let message = format!("{failed} figures of ungoverned usage could not be read, written or published");
            return Err(Failure::new(ErrorCode::LedgerUnavailable, message));
        }
        Ok(report)
    }

    /// `true` if messages for the history are late or lost. Calls that the history lacks would seem ungoverned.
    fn is_in_doubt(&self, counted: &Counted, now: DateTime<Utc>) -> bool {
        let since = (now - LOOK_BACK).timestamp()..;
        let oldest = counted.ages.range(since.clone()).map(|(_, age)| *age).max().unwrap_or_default();
        let dead_letters = counted.dead_letters.range(since).next_back().map_or(0, |(_, count)| *count);
        let allowed = u64::try_from(self.settled_after.num_seconds()).unwrap_or_default();
        let doubtful = oldest > allowed || dead_letters > 0;
        if doubtful {
            warn!(
                oldest,
                dead_letters, "ungoverned usage is unknown, because messages for the history are late or lost"
            );
        }
        doubtful
    }

    /// Makes the next figures of a model and day. Returns the increase that its metric lacks.
    async fn look(
        &self,
        model: &str,
        minutes: &BTreeMap<i64, Tokens>,
        day: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<Option<Increase>, HistoryError> {
        let before = day.checked_sub_days(Days::new(1)).unwrap_or(day);
        let figures = self.history.ungoverned(model, before, day).await?;
        let governed = self.history.days(&scope::of_model(model), before, day).await?;
        let of = |wanted: NaiveDate| figures.iter().find(|(day, _)| *day == wanted).map(|(_, figures)| *figures);
        let last = of(day);
        let span = span(day);
        let early = span.start..span.start.saturating_add(LONGEST_REQUEST.num_seconds());
        let facts = Facts {
            counted: sum(minutes.range(span)),
            after_midnight: sum(minutes.range(early)),
            governed: spent(&governed, day),
            governed_before: spent(&governed, before),
            figures_before: of(before),
            at: now.timestamp(),
        };
        let Some(next) = facts.next(last.as_ref(), self.settled_after) else {
            // A figure that is not published yet, because a run died, is published when it is old enough.
            let old = last.filter(|last| last.seen_at.saturating_add(self.settled_after.num_seconds()) <= facts.at);
            return Ok(old.and_then(|last| increase(model, day, &last)));
        };
        if !self.history.write_ungoverned(model, day, last.as_ref(), &next).await? {
            // Another run has just written the item, and publishes it.
            return Ok(None);
        }
        Ok(increase(model, day, &next))
    }

    /// Publishes increases with one call, then notes in their items that they are published. Returns the number of
    /// failures. A run that dies between the two publishes its increases once more. The items have the exact figures.
    async fn publish(&self, increases: &[Increase], now: DateTime<Utc>, report: &mut Report) -> usize {
        let data = increases.iter().map(|increase| datum(increase, now)).collect();
        let put = self.client.put_metric_data().namespace(METRIC_NAMESPACE).set_metric_data(Some(data)).send().await;
        if let Err(problem) = put {
            error!(cause = cause(&problem), "ungoverned usage is not published; the next run tries again");
            return increases.len();
        }
        let mut failed = 0;
        for Increase { model, day, published, total } in increases {
            let tokens = total.saturating_sub(*published);
            report.published = report.published.saturating_add(tokens);
            info!(model_id = model, %day, tokens, "tokens bypassed the sentry");
            if let Err(problem) = self.history.ungoverned_is_published(model, *day, *published, *total).await {
                error!(
                    model_id = model,
                    cause = cause(&problem),
                    "ungoverned usage is published, but not marked as such"
                );
                failed += 1;
            }
        }
        failed
    }
}

fn increase(model: &str, day: NaiveDate, figures: &Ungoverned) -> Option<Increase> {
    let (published, total) = (figures.published, figures.tokens.total());
    (total > published).then(|| Increase { model: model.to_owned(), day, published, total })
}

#[expect(clippy::cast_precision_loss, reason = "token counts are exact below 2^53")]
fn datum(increase: &Increase, now: DateTime<Utc>) -> MetricDatum {
    MetricDatum::builder()
        .metric_name(METRIC)
        .dimensions(Dimension::builder().name(MODEL_ID).value(&increase.model).build())
        .timestamp(SdkDateTime::from_secs(now.timestamp()))
        .unit(StandardUnit::Count)
        .value(increase.total.saturating_sub(increase.published) as f64)
        .build()
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// The seconds since 1970 of a UTC day.
fn span(day: NaiveDate) -> Range<i64> {
    let start = midnight(day).timestamp();
    start..start.saturating_add(TimeDelta::days(1).num_seconds())
}

fn sum<'m>(minutes: impl Iterator<Item = (&'m i64, &'m Tokens)>) -> Tokens {
    minutes.fold(Tokens::default(), |sum, (_, tokens)| sum.with(*tokens, u64::saturating_add))
}

/// The tokens of a day that count against a budget: known usage, and the holds of calls whose usage is unknown.
fn spent(days: &[Day], wanted: NaiveDate) -> Tokens {
    let spent = days.iter().find(|day| day.day == wanted).map(|day| day.sums.spent()).unwrap_or_default();
    Tokens { input: spent.input, output: spent.output }
}

#[cfg(test)]
mod tests;
