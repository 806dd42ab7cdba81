//! How fresh the figures are: the newest decision, the queue of metrics, the dead letters, and the sweep.

use std::collections::HashMap;

use aws_sdk_cloudwatch::Client as CloudWatch;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::{DateTime, TimeDelta, Utc};

use super::check::{Check, Gap, Seen, span};
use crate::failure::Failure;
use crate::stack::{Resource, Stack};

const NAMESPACE: &str = "GenAIRateLimiting";
/// How far back the newest decision is looked for. CloudWatch keeps points of a minute for 15 days.
const DECISIONS: TimeDelta = TimeDelta::days(3);
/// The sweep runs every minute. CloudWatch has its invocations some minutes later.
const SWEEP: TimeDelta = TimeDelta::minutes(10);
/// Age of the oldest message from which the queue is late. A message is taken within seconds.
const LATE: TimeDelta = TimeDelta::minutes(5);
/// Messages from which a queue whose age is not known is late.
const MANY: i64 = 1_000;
const SWEEP_FUNCTION: &str = "SweepHoldsFunction";

/// The figures that CloudWatch has.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// The minute of the newest decision.
    pub decision: Option<DateTime<Utc>>,
    /// The minute of the newest run of the sweep.
    pub sweep: Option<DateTime<Utc>>,
    /// Age of the oldest message of the queue, in seconds.
    pub oldest_seconds: Option<u64>,
    /// Why runs of functions cannot be seen at all. A local AWS has no metrics of functions.
    pub no_functions: Option<Gap>,
}

/// Messages of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait, or that wait for their next delivery.
    pub waiting: i64,
    pub in_work: i64,
}

/// Reads the metrics of the stack's freshness.
pub async fn metrics(stack: &Stack, resources: &Seen<Vec<Resource>>, now: DateTime<Utc>) -> Seen<Metrics> {
    let client = stack.cloudwatch();
    let physical = |logical_id: &str| {
        let resource = resources.as_ref().ok()?.iter().find(|it| it.logical_id == logical_id)?;
        Some(resource.physical_id.clone())
    };
    let queue = stack.output("MetricsQueueUrl").ok().and_then(|url| url.rsplit('/').next()).map(str::to_owned);
    let of_function = physical(SWEEP_FUNCTION);
    let queries = [
        Some(query("decision", NAMESPACE, "DecisionLatency", None, "SampleCount")),
        of_function.map(|it| query("sweep", "AWS/Lambda", "Invocations", Some(("FunctionName", it)), "Sum")),
        queue.map(|it| query("oldest", "AWS/SQS", "ApproximateAgeOfOldestMessage", Some(("QueueName", it)), "Maximum")),
    ];
    let call = client.get_metric_data().set_metric_data_queries(Some(queries.into_iter().flatten().collect()));
    let answer = call
        .start_time(sdk_time(now - DECISIONS))
        .end_time(sdk_time(now + TimeDelta::minutes(1)))
        // CloudWatch returns the newest points first, and a page has 100,800 of them.
        .scan_by(ScanBy::TimestampDescending)
        .send()
        .await;
    let answer = answer.map_err(|error| {
        Gap::of("cloudwatch:GetMetricData", &Failure::of_call("the metrics cannot be read", &error))
    })?;
    let newest: HashMap<&str, (DateTime<Utc>, f64)> = answer
        .metric_data_results()
        .iter()
        .filter_map(|result| {
            let points = result.timestamps().iter().zip(result.values());
            let (at, value) = points.max_by_key(|(at, _)| at.secs())?;
            Some((result.id()?, (DateTime::from_timestamp(at.secs(), 0)?, *value)))
        })
        .collect();
    let at = |id: &str| newest.get(id).map(|(at, _)| *at);
    Ok(Metrics {
        decision: at("decision"),
        sweep: at("sweep"),
        oldest_seconds: newest.get("oldest").filter(|(at, _)| now - *at < SWEEP).map(|(_, age)| whole(*age)),
        no_functions: if at("sweep").is_some() { None } else { no_functions(&client).await },
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age in seconds, at most 14 days")]
const fn whole(age: f64) -> u64 {
    age.max(0.0) as u64
}

async fn no_functions(client: &CloudWatch) -> Option<Gap> {
    let todo = "read the log of sweep-holds".to_owned();
    match client.list_metrics().namespace("AWS/Lambda").metric_name("Invocations").send().await {
        Ok(page) if page.metrics().is_empty() && page.next_token().is_none() => {
            Some(Gap { reason: "CloudWatch has no metrics of functions in this Region".to_owned(), todo })
        }
        Ok(_) => None,
        Err(error) => {
            Some(Gap::of("cloudwatch:ListMetrics", &Failure::of_call("the metrics cannot be listed", &error)))
        }
    }
}

fn query(id: &str, namespace: &str, name: &str, dimension: Option<(&str, String)>, statistic: &str) -> MetricDataQuery {
    let dimension = dimension.map(|(name, value)| Dimension::builder().name(name).value(value).build());
    let metric = Metric::builder().namespace(namespace).metric_name(name);
    let metric = metric.set_dimensions(dimension.map(|it| vec![it])).build();
    let statistic = MetricStat::builder().metric(metric).period(60).stat(statistic).build();
    MetricDataQuery::builder().id(id).metric_stat(statistic).build()
}

fn sdk_time(at: DateTime<Utc>) -> aws_sdk_cloudwatch::primitives::DateTime {
    aws_sdk_cloudwatch::primitives::DateTime::from_secs(at.timestamp())
}

/// Reads the messages of the queue in the output `output`.
pub async fn depth(stack: &Stack, output: &str) -> Seen<Depth> {
    let action = "sqs:GetQueueAttributes";
    let url = stack.output(output).map_err(|failure| Gap::of(action, &failure))?;
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let call = stack.queues().get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
    let answer = call.send().await;
    let answer = answer
        .map_err(|error| Gap::of(action, &Failure::of_call(&format!("the queue {url} cannot be read"), &error)))?;
    let [visible, delayed, in_work] =
        names.map(|name| answer.attributes().and_then(|all| all.get(&name)?.parse::<i64>().ok()).unwrap_or_default());
    Ok(Depth { waiting: visible + delayed, in_work })
}

/// Judges the age of the newest decision. A stack without requests is no fault.
pub fn decisions(name: &'static str, metrics: &Metrics, now: DateTime<Utc>) -> Check {
    match metrics.decision {
        Some(at) => Check::ok(name, format!("the newest decision in CloudWatch is {} old", span(now - at))),
        None => Check::warning(
            name,
            format!("CloudWatch has no decision of the last {}", span(DECISIONS)),
            "if clients send requests, see the metric queue; otherwise send one: sentry ask \"Hello.\"",
        ),
    }
}

/// Judges the queue from which metrics and settlements are made.
pub fn queue(name: &'static str, depth: Depth, metrics: &Seen<Metrics>) -> Check {
    let Depth { waiting, in_work } = depth;
    let oldest = metrics.as_ref().ok().and_then(|metrics| metrics.oldest_seconds);
    let age = oldest.map(|seconds| TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
    let told = age.map(|age| format!(", the oldest {} old", span(age))).unwrap_or_default();
    let finding = format!("{waiting} messages wait and {in_work} are in work{told}");
    if waiting > 0 && age.map_or(waiting >= MANY, |age| age >= LATE) {
        return Check::fault(name, finding, "read the log of emit-metrics: metrics, alerts and history are late");
    }
    Check::ok(name, finding)
}

/// Judges the dead letters.
pub fn dead_letters(name: &'static str, depth: Depth) -> Check {
    let dead = depth.waiting + depth.in_work;
    if dead == 0 {
        return Check::ok(name, "no message failed for good");
    }
    Check::fault(
        name,
        format!("{dead} messages failed for good: their metrics, settlements and alerts are missing"),
        "find the cause in the log of emit-metrics, correct it, and redrive the queue",
    )
}

/// Judges if the sweep of expired holds runs.
pub fn sweep(name: &'static str, metrics: &Metrics, deployed_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Check {
    match (metrics.sweep.filter(|at| now - *at <= SWEEP), &metrics.no_functions) {
        (Some(at), _) => Check::ok(name, format!("the sweep of expired holds ran {} ago", span(now - at))),
        (None, Some(gap)) => Check::unknown(name, gap),
        (None, None) if deployed_at.is_some_and(|at| now - at <= SWEEP) => {
            let reason = format!("the stack was deployed less than {} ago", span(SWEEP));
            Check::unknown(name, &Gap { reason, todo: "run `sentry status` again".to_owned() })
        }
        (None, None) => Check::fault(
            name,
            format!("the sweep of expired holds did not run in the last {}", span(SWEEP)),
            "check that the rule of sweep-holds is enabled and that the function is not throttled",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-21T14:05:00Z".parse().unwrap()
    }

    #[test]
    fn a_stack_without_requests_is_no_fault() {
        assert_eq!(decisions("d", &Metrics::default(), now()).state, State::Warning);
        let metrics = Metrics { decision: Some(now() - TimeDelta::minutes(7)), ..Metrics::default() };
        let check = decisions("d", &metrics, now());
        assert_eq!((check.state, check.finding.contains("7 minutes")), (State::Ok, true));
    }

    #[test]
    fn a_queue_is_late_by_its_age_and_without_one_by_its_length() {
        let judged = |waiting, oldest: Option<u64>| {
            let metrics = Metrics { oldest_seconds: oldest, ..Metrics::default() };
            queue("q", Depth { waiting, in_work: 1 }, &Ok(metrics)).state
        };
        assert_eq!([judged(0, None), judged(999, None), judged(5_000, Some(20))], [State::Ok; 3]);
        assert_eq!([judged(1, Some(300)), judged(1_000, None)], [State::Fault; 2]);
        assert_eq!(judged(0, Some(900)), State::Ok, "the age is that of a message that is gone");
    }

    #[test]
    fn every_dead_letter_is_a_fault() {
        assert_eq!(dead_letters("d", Depth::default()).state, State::Ok);
        assert_eq!(dead_letters("d", Depth { waiting: 1, in_work: 0 }).state, State::Fault);
        assert_eq!(dead_letters("d", Depth { waiting: 0, in_work: 2 }).state, State::Fault);
    }

    #[test]
    fn a_sweep_that_does_not_run_is_a_fault_only_if_it_could_be_seen() {
        let judged = |minutes: Option<i64>, is_seen: bool, deployed: i64| {
            let sweep = minutes.map(|minutes| now() - TimeDelta::minutes(minutes));
            let gap = Gap { reason: "no metrics".to_owned(), todo: "read the log".to_owned() };
            let metrics = Metrics { sweep, no_functions: Some(gap).filter(|_| !is_seen), ..Metrics::default() };
            super::sweep("s", &metrics, Some(now() - TimeDelta::minutes(deployed)), now()).state
        };
        assert_eq!(judged(Some(2), true, 60), State::Ok);
        assert_eq!([judged(Some(30), true, 60), judged(None, true, 60)], [State::Fault; 2]);
        assert_eq!([judged(None, false, 60), judged(None, true, 5)], [State::Unknown; 2]);
    }
}
