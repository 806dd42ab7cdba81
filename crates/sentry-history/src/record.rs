//! Counts decided requests, each exactly once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, Put, TransactWriteItem, Update};
use chrono::{DateTime, NaiveDate, Utc};
use tokio::time::{Instant, sleep};

use crate::decided::Decided;
use crate::error::{HistoryError, unavailable};
use crate::pack::groups;
use crate::sums::Sums;
use crate::{DAY, EXPIRES_AT, History, SCOPE};

/// Prefix of a marker's partition key. The execution follows.
const MARKER: &str = "request#";
/// The sort key of a marker. It is not a day, so no marker is among the days of a scope.
const MARKED: &str = "counted";
/// The time after the start of a call in which attempts may begin. Requests that are left are delivered again.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause after the first attempt that lost, and the longest pause after any attempt, in milliseconds.
const PAUSES_MS: (u64, u64) = (20, 640);

/// The result for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The request is counted now.
    Counted,
    /// The request was counted before, or is twice among the requests of the call.
    Before,
    /// The request is so old that its marker may be deleted. It is not counted, because nobody knows if it was counted
    /// before.
    TooOld,
    /// The request may not have been counted. It must be recorded again.
    Failed,
}

/// The result for all requests of a call.
#[derive(Debug)]
pub struct Report {
    /// The result of each request, in the order of the requests.
    pub recorded: Vec<Recorded>,
    /// The cause if a request failed. If several failed, it is the first cause.
    pub problem: Option<HistoryError>,
}

/// The result of one attempt at a transaction.
enum Attempt {
    /// The whole transaction is written.
    Done,
    /// Nothing is written, because the requests at these positions of the group were counted before.
    Known(Vec<usize>),
    /// Nothing is written, because DynamoDB is busy.
    Busy,
    /// DynamoDB rejects the content of the transaction.
    Refused(HistoryError),
    /// It is not known if something is written.
    Failed(HistoryError),
}

impl History {
    /// Counts each request of `decided` that is not counted yet. `now` is the time of the call.
    ///
    /// One transaction writes the markers of many requests and their additions to the scopes, so it writes all of them
    /// or none. If a marker already exists, its request is taken out and the others are written without it. If
    /// DynamoDB is busy or other transactions conflict, the attempt is repeated after a random pause, for five seconds
    /// at most. A transaction whose content DynamoDB rejects is halved, so that one request cannot block the others.
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

    /// Counts the requests of one group. If they must be tried in smaller groups, these are put in front of the
    /// `waiting` groups.
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

    /// Sends one transaction: first the markers, in the order of `requests`, then the additions.
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
        let expires_at = self.kept_until(day);
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

pub fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The result that an error of a transaction means. The transaction begins with `markers` markers.
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

/// The result that the reasons of a canceled transaction mean. `None` if the cause is neither an existing marker nor a
/// busy DynamoDB.
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

/// `true` if DynamoDB would reject the same transaction again.
fn is_of_its_content(error: &TransactWriteItemsError) -> bool {
    error.meta().code().is_some_and(|code| code.ends_with("ValidationException"))
}

#[cfg(test)]
mod tests;
