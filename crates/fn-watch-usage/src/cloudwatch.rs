//! The numbers that CloudWatch has counted.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime as SdkDateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, RecentlyActive, StatusCode,
};
use chrono::{DateTime, Utc};
use sentry_contract::bedrock_metrics::{
    MANTLE_INPUT, MANTLE_MODEL, MANTLE_NAMESPACE, MANTLE_OUTPUT, MODEL_ID, NAMESPACE, TOKENS,
};
use sentry_history::Tokens;
use sentry_lambda::cause;
use thiserror::Error;

/// Namespace of the metrics of queues.
const QUEUE_NAMESPACE: &str = "AWS/SQS";
/// The dimension of the metrics in [`QUEUE_NAMESPACE`].
const QUEUE: &str = "QueueName";
/// The age of the oldest message that is not deleted, in seconds. Messages in flight count.
const OLDEST: &str = "ApproximateAgeOfOldestMessage";
/// The number of messages that can be received.
const VISIBLE: &str = "ApproximateNumberOfMessagesVisible";
/// The period of all queries. CloudWatch keeps periods of a minute for 15 days.
///
/// Source: Amazon CloudWatch API Reference, `GetMetricData`, read in November 2026.
const PERIOD_SECONDS: i32 = 60;
/// Maximum number of queries in one `GetMetricData`.
///
/// Source: the same page.
const MOST_QUERIES: usize = 500;
/// Maximum number of pages that are read of one list or one answer. A page of metrics has 500, and a page of data has
/// up to 100,800 points, which are the points of two days for 35 queries.
///
/// Source: Amazon CloudWatch API Reference, `ListMetrics` and `GetMetricData`, read in November 2026.
const MOST_PAGES: usize = 40;

/// The reason why CloudWatch's numbers are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloudWatchError {
    #[error("CloudWatch cannot be asked: {0}")]
    Call(String),
    #[error("the answer goes on after {MOST_PAGES} pages")]
    Endless,
    #[error("the result of {metric} is {status}, not Complete")]
    Incomplete { metric: String, status: String },
    #[error("a result of {0} is no count")]
    NoCount(String),
}

/// The names of the queues that messages for the history go through.
#[derive(Clone, Debug)]
pub struct Queues {
    /// The name of the metrics queue.
    pub messages: String,
    /// The name of the dead-letter queue of the metrics queue.
    pub dead_letters: String,
}

/// The subject of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    /// Tokens of a model. The number is the place of the metric in [`TOKENS`], or follows these for the endpoint
    /// `bedrock-mantle`.
    Model(String, usize),
    /// The age of the oldest message.
    Age,
    /// The number of dead letters.
    DeadLetters,
}

/// One metric, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    subject: Subject,
    namespace: &'static str,
    dimension: &'static str,
    value: String,
    name: &'static str,
    statistic: &'static str,
}

/// Place of input tokens of `bedrock-mantle`.
const MANTLE_IN: usize = TOKENS.len();
/// Place of output tokens of `bedrock-mantle`.
const MANTLE_OUT: usize = MANTLE_IN + 1;
/// Number of token metrics that a model can have.
const PLACES: usize = MANTLE_OUT + 1;

/// The place of a token metric, if `metric` is one by model alone.
fn place(namespace: &str, metric: &Metric) -> Option<(usize, &'static str, &'static str)> {
    let [dimension] = metric.dimensions() else { return None };
    let name = metric.metric_name()?;
    match (namespace, dimension.name()?) {
        (NAMESPACE, MODEL_ID) => {
            let place = TOKENS.iter().position(|(_, known)| *known == name)?;
            TOKENS.get(place).map(|(_, known)| (place, MODEL_ID, *known))
        }
        (MANTLE_NAMESPACE, MANTLE_MODEL) if name == MANTLE_INPUT => Some((MANTLE_IN, MANTLE_MODEL, MANTLE_INPUT)),
        (MANTLE_NAMESPACE, MANTLE_MODEL) if name == MANTLE_OUTPUT => Some((MANTLE_OUT, MANTLE_MODEL, MANTLE_OUTPUT)),
        _ => None,
    }
}

/// The token metrics, by model, that got a point in the last three hours. The numbers of other models do not change.
///
/// A new metric can take up to 15 minutes to be listed. Source: Amazon CloudWatch API Reference, `ListMetrics`, read in
/// November 2026.
pub async fn active(client: &Client) -> Result<Vec<Asked>, CloudWatchError> {
    let mut found = Vec::new();
    for namespace in [NAMESPACE, MANTLE_NAMESPACE] {
        found.extend(active_in(client, namespace).await?);
    }
    Ok(found)
}

async fn active_in(client: &Client, namespace: &'static str) -> Result<Vec<Asked>, CloudWatchError> {
    let mut found = Vec::new();
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let list = client.list_metrics().namespace(namespace).recently_active(RecentlyActive::Pt3H);
        let list = list.set_next_token(token).send().await;
        let list = list.map_err(|error| CloudWatchError::Call(cause(&error)))?;
        found.extend(list.metrics().iter().filter_map(|metric| asked(namespace, metric)));
        token = list.next_token().map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
    Err(CloudWatchError::Endless)
}

fn asked(namespace: &'static str, metric: &Metric) -> Option<Asked> {
    let (place, dimension, name) = place(namespace, metric)?;
    let value = metric.dimensions().first()?.value()?.to_owned();
    let subject = Subject::Model(value.clone(), place);
    Some(Asked { subject, namespace, dimension, value, name, statistic: "Sum" })
}

/// The metrics that tell if the history is complete.
pub fn of_queues(queues: &Queues) -> [Asked; 2] {
    let of = |subject, value: &str, name| Asked {
        subject,
        namespace: QUEUE_NAMESPACE,
        dimension: QUEUE,
        value: value.to_owned(),
        name,
        statistic: "Maximum",
    };
    [of(Subject::Age, &queues.messages, OLDEST), of(Subject::DeadLetters, &queues.dead_letters, VISIBLE)]
}

/// All numbers of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Tokens of each model, by the second since 1970 at which their minute begins.
    pub models: BTreeMap<String, BTreeMap<i64, Tokens>>,
    /// The age of the oldest message of the metrics queue in each minute, in seconds. Empty if the queue was not used.
    pub ages: BTreeMap<i64, u64>,
    /// The number of dead letters in each minute.
    pub dead_letters: BTreeMap<i64, u64>,
}

/// Reads the numbers of `asked` from `start` to `end`.
pub async fn counted(
    client: &Client,
    asked: &[Asked],
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<Counted, CloudWatchError> {
    let mut sums = Sums::default();
    for some in asked.chunks(MOST_QUERIES) {
        sums.read(client, some, start, end).await?;
    }
    Ok(sums.counted())
}

/// The points so far.
#[derive(Debug, Default)]
struct Sums {
    /// The token metrics of each model, by the second since 1970 at which their minute begins.
    models: BTreeMap<String, BTreeMap<i64, [u64; PLACES]>>,
    ages: BTreeMap<i64, u64>,
    dead_letters: BTreeMap<i64, u64>,
}

impl Sums {
    /// Adds all pages of one call.
    async fn read(
        &mut self,
        client: &Client,
        asked: &[Asked],
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<(), CloudWatchError> {
        let queries: Vec<MetricDataQuery> =
            asked.iter().enumerate().map(|(index, asked)| query(index, asked)).collect();
        let mut statuses: HashMap<usize, StatusCode> = HashMap::new();
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let page = client
                .get_metric_data()
                .set_metric_data_queries(Some(queries.clone()))
                .start_time(SdkDateTime::from_secs(start.timestamp()))
                // CloudWatch requires an end after the start.
                .end_time(SdkDateTime::from_secs(end.timestamp().saturating_add(1)))
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| CloudWatchError::Call(cause(&error)))?;
            for result in page.metric_data_results() {
                self.add(asked, result, &mut statuses)?;
            }
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return asked.iter().enumerate().try_for_each(|(index, asked)| complete(asked, statuses.get(&index)));
            }
        }
        Err(CloudWatchError::Endless)
    }

    /// Adds the points of one result. The status on the last page of a query is final. Pages before it have
    /// `PartialData`.
    fn add(
        &mut self,
        asked: &[Asked],
        result: &MetricDataResult,
        statuses: &mut HashMap<usize, StatusCode>,
    ) -> Result<(), CloudWatchError> {
        let index = result.id().and_then(|id| id.strip_prefix('q')?.parse::<usize>().ok());
        let Some((index, asked)) = index.and_then(|index| Some((index, asked.get(index)?))) else { return Ok(()) };
        if let Some(status) = result.status_code() {
            statuses.insert(index, status.clone());
        }
        for (second, value) in points(asked, result)? {
            match &asked.subject {
                Subject::Model(model, place) => {
                    let minute = self.models.entry(model.clone()).or_default().entry(second).or_default();
                    if let Some(sum) = minute.get_mut(*place) {
                        *sum = sum.saturating_add(value);
                    }
                }
                Subject::Age => drop(self.ages.insert(second, value)),
                Subject::DeadLetters => drop(self.dead_letters.insert(second, value)),
            }
        }
        Ok(())
    }

    fn counted(self) -> Counted {
        let tokens = |minutes: BTreeMap<i64, [u64; PLACES]>| {
            minutes.iter().map(|(second, places)| (*second, sum(places))).collect()
        };
        let models = self.models.into_iter().map(|(model, minutes)| (model, tokens(minutes))).collect();
        Counted { models, ages: self.ages, dead_letters: self.dead_letters }
    }
}

fn query(index: usize, asked: &Asked) -> MetricDataQuery {
    let dimension = Dimension::builder().name(asked.dimension).value(&asked.value).build();
    let metric = Metric::builder().namespace(asked.namespace).metric_name(asked.name).dimensions(dimension).build();
    let stat = MetricStat::builder().metric(metric).period(PERIOD_SECONDS).stat(asked.statistic).build();
    MetricDataQuery::builder().id(format!("q{index}")).metric_stat(stat).return_data(true).build()
}

/// The points of a result: the second since 1970 at which their minute begins, and their value.
fn points(asked: &Asked, result: &MetricDataResult) -> Result<Vec<(i64, u64)>, CloudWatchError> {
    let no_count = || CloudWatchError::NoCount(asked.name.to_owned());
    let (timestamps, values) = (result.timestamps(), result.values());
    if timestamps.len() != values.len() {
        return Err(no_count());
    }
    let points = timestamps.iter().zip(values);
    points.map(|(at, value)| Ok((at.secs(), count(*value).ok_or_else(no_count)?))).collect()
}

fn complete(asked: &Asked, status: Option<&StatusCode>) -> Result<(), CloudWatchError> {
    match status {
        Some(StatusCode::Complete) => Ok(()),
        status => {
            let status = status.map_or("missing", StatusCode::as_str).to_owned();
            Err(CloudWatchError::Incomplete { metric: asked.name.to_owned(), status })
        }
    }
}

/// The tokens of a minute. Each cache metric has two names, and the larger value counts.
fn sum(places: &[u64; PLACES]) -> Tokens {
    let [input, output, read, read_count, write, write_count, mantle_input, mantle_output] = *places;
    let inputs = [input, read.max(read_count), write.max(write_count), mantle_input];
    Tokens { input: inputs.into_iter().fold(0, u64::saturating_add), output: output.saturating_add(mantle_output) }
}

/// A count as a whole number.
fn count(value: f64) -> Option<u64> {
    if value.is_finite() && value >= 0.0 { format!("{:.0}", value.floor()).parse().ok() } else { None }
}
