//! Counting decided requests, each exactly once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, Put, TransactWriteItem, Update};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep};

use crate::decided::Decided;
use crate::error::{HistoryError, unavailable};
use crate::pack::groups;
use crate::sums::Sums;
use crate::{DAY, EXPIRES_AT, History, SCOPE};

/// Before the execution, in the partition key of a marker.
const MARKER: &str = "request#";
/// The sort key of a marker: no day, so that no marker is among the days of a scope.
const MARKED: &str = "counted";
/// No attempt begins later than this after the first one. What is left is delivered again.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause after the first attempt that lost, and after any, in milliseconds.
const PAUSES_MS: (u64, u64) = (20, 640);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is counted now.
    Counted,
    /// It was counted before, or stands twice in what was to be counted.
    Before,
    /// It is so old that its marker may be deleted, so nobody knows whether it was counted, and it is left alone.
    TooOld,
    /// It is not known to be counted: it must be recorded again.
    Failed,
}

/// What became of all requests.
#[derive(Debug)]
pub struct Report {
    /// For each request, in their order.
    pub recorded: Vec<Recorded>,
    /// Why one of them failed, if one did.
    pub problem: Option<HistoryError>,
}

/// How one attempt at a transaction ended.
enum Attempt {
    /// Everything is written.
    Done,
    /// Nothing is written, because the requests at these places of the group are counted.
    Known(Vec<usize>),
    /// Nothing is written, because DynamoDB is busy.
    Busy,
    /// DynamoDB takes no such transaction.
    Refused(HistoryError),
    /// It is not known whether something is written.
    Failed(HistoryError),
}

impl History {
    /// Counts each request of `decided` that is not counted yet. `now` is the moment of the call.
    ///
    /// One transaction holds the markers of many requests and what they add to their scopes, so either all of it happens or nothing. A
    /// request whose marker exists is taken out, and the others are written without it. While other transactions work on the same items,
    /// the attempt is repeated after a random pause, for five seconds at most. A transaction that DynamoDB refuses for its content is halved,
    /// so that one request cannot keep back the others.
    pub async fn record(&self, decided: &[Decided], now: DateTime<Utc>) -> Report {
        let begun = Instant::now();
        let mut report = Report { recorded: vec![Recorded::Failed; decided.len()], problem: None };
        let mut first: HashMap<&str, usize> = HashMap::new();
        let mut repeated = Vec::new();
        let mut wanted = Vec::new();
        for (index, request) in decided.iter().enumerate() {
            if request.marked_until() <= now {
                report.set(index, Recorded::TooOld);
            } else if let Some(first) = first.get(request.id.as_str()) {
                repeated.push((index, *first));
            } else {
                first.insert(&request.id, index);
                wanted.push(index);
            }
        }
        let mut waiting = groups(decided, wanted);
        while let Some(group) = waiting.pop_front() {
            self.count(decided, group, begun, &mut report, &mut waiting).await;
        }
        for (index, first) in repeated {
            if report.recorded.get(first) != Some(&Recorded::Failed) {
                report.set(index, Recorded::Before);
            }
        }
        report
    }

    /// Counts the requests of one group. Those that must be tried in smaller groups are put before the ones that are `waiting`.
    async fn count(
        &self,
        decided: &[Decided],
        mut group: Vec<usize>,
        begun: Instant,
        report: &mut Report,
        waiting: &mut VecDeque<Vec<usize>>,
    ) {
        let mut longest_ms = PAUSES_MS.0;
        while !group.is_empty() {
            if begun.elapsed() > PATIENCE {
                report.problem.get_or_insert(HistoryError::Contended);
                return;
            }
            let requests: Vec<&Decided> = group.iter().filter_map(|index| decided.get(*index)).collect();
            match self.attempt(&requests).await {
                Attempt::Done => {
                    group.drain(..).for_each(|index| report.set(index, Recorded::Counted));
                }
                Attempt::Known(places) => {
                    let is_known = |place: usize| places.contains(&place);
                    let indices = || group.iter().copied().enumerate();
                    indices()
                        .filter(|(place, _)| is_known(*place))
                        .for_each(|(_, index)| report.set(index, Recorded::Before));
                    group = indices().filter(|(place, _)| !is_known(*place)).map(|(_, index)| index).collect();
                }
                Attempt::Busy => {
                    sleep(Duration::from_millis(fastrand::u64(0..=longest_ms))).await;
                    longest_ms = (longest_ms * 2).min(PAUSES_MS.1);
                }
                Attempt::Refused(_) if group.len() > 1 => {
                    let second = group.split_off(group.len() / 2);
                    waiting.push_front(second);
                    waiting.push_front(group);
                    return;
                }
                Attempt::Refused(problem) | Attempt::Failed(problem) => {
                    report.problem.get_or_insert(problem);
                    return;
                }
            }
        }
    }

    /// Sends one transaction: the markers first, in the order of `requests`, then what they add.
    async fn attempt(&self, requests: &[&Decided]) -> Attempt {
        let mut added: BTreeMap<(&str, NaiveDate), Sums> = BTreeMap::new();
        for request in requests {
            for scope in &request.scopes {
                *added.entry((scope, request.day())).or_default() += &request.sums;
            }
        }
        let markers = requests.iter().map(|request| self.marker(request));
        let additions = added.iter().map(|((scope, day), sums)| self.addition(scope, *day, sums));
        let actions = match markers.chain(additions).collect::<Result<Vec<_>, _>>() {
            Ok(actions) => actions,
            Err(problem) => return Attempt::Refused(HistoryError::Refused(Box::new(problem))),
        };
        match self.client.transact_write_items().set_transact_items(Some(actions)).send().await {
            Ok(_) => Attempt::Done,
            Err(error) => failed(error, requests.len()),
        }
    }

    fn marker(&self, request: &Decided) -> Result<TransactWriteItem, BuildError> {
        let put = Put::builder()
            .table_name(&self.table)
            .item(SCOPE, AttributeValue::S(format!("{MARKER}{}", request.id)))
            .item(DAY, AttributeValue::S(MARKED.to_owned()))
            .item(EXPIRES_AT, number(request.marked_until().timestamp()))
            .condition_expression("attribute_not_exists(#scope)")
            .expression_attribute_names("#scope", SCOPE);
        Ok(TransactWriteItem::builder().put(put.build()?).build())
    }

    fn addition(&self, scope: &str, day: NaiveDate, sums: &Sums) -> Result<TransactWriteItem, BuildError> {
        let expires_at = day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(1 + i64::from(self.kept_days));
        let mut update = Update::builder()
            .table_name(&self.table)
            .key(SCOPE, AttributeValue::S(scope.to_owned()))
            .key(DAY, AttributeValue::S(day.to_string()))
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_values(":expires", number(expires_at.timestamp()));
        let mut additions = Vec::new();
        for (place, (attribute, sum)) in sums.iter().enumerate() {
            additions.push(format!("#{place} :{place}"));
            update = update
                .expression_attribute_names(format!("#{place}"), attribute)
                .expression_attribute_values(format!(":{place}"), number(sum));
        }
        let mut expression = "SET #expires = :expires".to_owned();
        if !additions.is_empty() {
            expression = format!("{expression} ADD {}", additions.join(", "));
        }
        Ok(TransactWriteItem::builder().update(update.update_expression(expression).build()?).build())
    }
}

impl Report {
    fn set(&mut self, index: usize, became: Recorded) {
        if let Some(recorded) = self.recorded.get_mut(index) {
            *recorded = became;
        }
    }
}

fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// What an error says of a transaction that begins with `markers` markers.
fn failed<R: std::fmt::Debug + Send + Sync + 'static>(
    error: SdkError<TransactWriteItemsError, R>,
    markers: usize,
) -> Attempt {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
            match meaning(canceled.cancellation_reasons(), markers) {
                Some(attempt) => attempt,
                None => Attempt::Refused(HistoryError::Refused(Box::new(error))),
            }
        }
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => Attempt::Busy,
        Some(other) if is_of_its_content(other) => Attempt::Refused(HistoryError::Refused(Box::new(error))),
        _ => Attempt::Failed(unavailable(error)),
    }
}

/// `None` where the reasons are neither a marker that exists nor a DynamoDB that is busy.
fn meaning(reasons: &[CancellationReason], markers: usize) -> Option<Attempt> {
    let codes = || reasons.iter().map(|reason| reason.code().unwrap_or("None")).enumerate();
    let known: Vec<usize> =
        codes().take(markers).filter(|(_, code)| *code == "ConditionalCheckFailed").map(|(place, _)| place).collect();
    if !known.is_empty() {
        return Some(Attempt::Known(known));
    }
    let passing = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    let mut codes = codes().map(|(_, code)| code).filter(|code| *code != "None").peekable();
    (codes.peek().is_some() && codes.all(|code| passing.contains(&code))).then_some(Attempt::Busy)
}

/// Whether DynamoDB would refuse the same transaction again.
fn is_of_its_content(error: &TransactWriteItemsError) -> bool {
    error.meta().code().is_some_and(|code| code.ends_with("ValidationException"))
}

#[cfg(test)]
mod tests;
