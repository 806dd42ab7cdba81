//! Every decision counts once: with messages that come twice, workers that stop at any point, conflicts, and lost
//! answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use sentry_contract::states::MetricsRecord;
use sentry_history::{Decided, History, Recorded};
use serde_json::{Value, json};
use test_support::at;

use crate::support::{client, faulty, table};

const REQUESTS: usize = 10_000;
/// The number of days that the requests are spread over.
const DAYS: i64 = 3;
/// The number of positions that a message can be late.
const DISORDER: usize = 500;
/// One in this many messages is delivered twice.
const TWICE: usize = 10;
const WORKERS: usize = 4;
const KILLS: usize = 50;
const SEED: u64 = 20_261_126;
/// Expected numbers by scope, day and attribute.
type Expected = BTreeMap<(String, String, String), u128>;

/// A model, and its prices in picodollars per input token and per output token, if it has any.
struct Model {
    name: &'static str,
    foundation: &'static str,
    price: Option<(u64, u64)>,
}

const MODELS: [Model; 3] = [
    Model { name: "us.claude", foundation: "claude", price: Some((3_000_000, 15_000_000)) },
    Model { name: "claude", foundation: "claude", price: Some((2_999_999, 14_999_999)) },
    Model { name: "secret", foundation: "secret", price: None },
];

fn noon() -> DateTime<Utc> {
    at("2026-11-23T12:00:00Z")
}

/// A random request. Adds its numbers to `expected` for each of its scopes, computed here without the code under test.
fn request(number: usize, random: &mut Rng, expected: &mut Expected) -> MetricsRecord {
    let pick = |random: &mut Rng, kind: &str, of: u32| format!("{kind}{}", random.u32(0..of));
    let (application, center, user) = (pick(random, "app", 3), pick(random, "cc", 2), pick(random, "u", 5));
    let Model { name: model, foundation, price } = MODELS[random.usize(0..MODELS.len())];
    let age = i64::try_from(REQUESTS - number).unwrap() * DAYS * 86_400_000 / i64::try_from(REQUESTS).unwrap();
    let at = noon() - TimeDelta::milliseconds(age);
    let (input, output) = (random.u64(0..200_000), random.u64(0..8_000));
    let (held_input, held_output) = (input + random.u64(0..500), output + random.u64(0..500));
    let cost = |input: u64, output: u64| price.map_or(0, |(read, written)| u128::from(input * read + output * written));
    let rate = |picodollars: u64| format!("{}.{:06}", picodollars / 1_000_000, picodollars % 1_000_000);
    let held_cost = cost(held_input, held_output);
    let mut record = json!({
        "executionId": format!("arn:aws:states:us-east-1:111122223333:express:limiter:name:{number}"),
        "tags": {"applicationId": application, "costCenter": center, "userId": user, "environment": "test", "timestamp": at.to_rfc3339()},
        "model": {"requested": "any", "modelId": model, "modelMetric": model, "foundation": foundation},
        "scopes": [format!("model#{model}"), format!("application#{application}+environment#test")],
    });
    if let Some((read, written)) = price {
        record["model"]["price"] = json!({"input": rate(read), "output": rate(written)});
    }
    let hold = json!({"input": held_input, "output": held_output, "requests": 1, "inFlight": 1,
                      "usd": format!("{}.{:012}", held_cost / 1_000_000_000_000, held_cost % 1_000_000_000_000)});
    let mut added: Vec<(&str, u128)> = vec![("requests", 1)];
    let mut more = match random.u32(0..10) {
        0 => {
            added.extend([("denied", 1), ("denied#BudgetExceeded", 1)]);
            json!({"outcome": "Denied", "code": "BudgetExceeded"})
        }
        1 => {
            added.extend([("approved", 1), ("failed", 1), ("failed#ModelThrottled", 1)]);
            json!({"outcome": "InvocationFailed", "code": "ModelThrottled", "nothingSpent": true, "hold": hold})
        }
        2 => {
            added.extend([("approved", 1), ("failed", 1), ("failed#ModelTimeout", 1), ("unknown", 1)]);
            added.extend([("unknownInput", held_input.into()), ("unknownOutput", held_output.into())]);
            added.push(("unknownPicodollars", held_cost));
            json!({"outcome": "InvocationFailed", "code": "ModelTimeout", "hold": hold})
        }
        _ => {
            added.extend([("approved", 1), ("settled", 1), ("input", input.into()), ("output", output.into())]);
            added.extend([("heldInput", held_input.into()), ("heldOutput", held_output.into())]);
            added.extend([("picodollars", cost(input, output)), ("heldPicodollars", held_cost)]);
            added.push(("unpriced", u128::from(price.is_none())));
            let usage = json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output});
            json!({"outcome": "Succeeded", "usage": usage, "hold": hold})
        }
    };
    record.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    let scopes = [
        format!("model#{model}"),
        format!("foundation#{foundation}"),
        format!("application#{application}"),
        format!("costCenter#{center}"),
        "environment#test".to_owned(),
        format!("user#{user}"),
        format!("application#{application}+environment#test"),
        format!("application#{application}+model#{model}"),
        format!("costCenter#{center}+model#{model}"),
    ];
    for scope in scopes {
        for (attribute, number) in added.iter().filter(|(_, number)| *number > 0) {
            let key = (scope.clone(), at.format("%Y-%m-%d").to_string(), (*attribute).to_owned());
            *expected.entry(key).or_default() += number;
        }
    }
    parsed(record)
}

fn parsed(record: Value) -> MetricsRecord {
    serde_json::from_value(record).unwrap()
}

/// The queue. A message that is not done is delivered again.
type Queue = Arc<Mutex<VecDeque<Decided>>>;

/// Takes up to `most` messages.
fn receive(queue: &Queue, most: usize) -> Vec<Decided> {
    let mut queue = queue.lock().unwrap();
    let count = most.min(queue.len());
    queue.drain(..count).collect()
}

/// Every number in the table, and the number of markers.
async fn whole(client: &Client, table: &str) -> (Expected, usize) {
    let (mut sums, mut markers, mut start) = (Expected::new(), 0, None);
    loop {
        let page = client.scan().table_name(table).set_exclusive_start_key(start).send().await.unwrap();
        for item in page.items() {
            let text = |name: &str| item[name].as_s().unwrap().clone();
            if text("scope").starts_with("request#") {
                markers += 1;
                continue;
            }
            for (attribute, value) in item.iter().filter(|(name, _)| *name != "expiresAt") {
                if let AttributeValue::N(number) = value {
                    sums.insert((text("scope"), text("day"), attribute.clone()), number.parse().unwrap());
                }
            }
        }
        start = page.last_evaluated_key;
        if start.is_none() {
            return (sums, markers);
        }
    }
}

/// `true` if the worker that starts now is killed.
fn next_kill(kills: &Mutex<usize>, random: &mut Rng) -> bool {
    let mut left = kills.lock().unwrap();
    let kill = *left > 0 && random.u32(0..3) == 0;
    *left -= usize::from(kill);
    kill
}

/// Takes batches until the queue is empty. Returns the number of messages that were counted before.
async fn work(history: History, queue: Queue, kills: Arc<Mutex<usize>>, mut random: Rng) -> usize {
    let mut before = 0;
    loop {
        let batch = receive(&queue, random.usize(20..=100));
        if batch.is_empty() {
            return before;
        }
        let task = {
            let (history, batch) = (history.clone(), batch.clone());
            tokio::spawn(async move { history.record(&batch, noon()).await })
        };
        let abort = task.abort_handle();
        if next_kill(&kills, &mut random) {
            tokio::time::sleep(Duration::from_micros(random.u64(0..150_000))).await;
            abort.abort();
        }
        match task.await {
            Ok(report) => {
                before += report.recorded.iter().filter(|became| **became == Recorded::Before).count();
                let failed = batch.into_iter().zip(report.recorded).filter(|(_, became)| *became == Recorded::Failed);
                queue.lock().unwrap().extend(failed.map(|(message, _)| message));
            }
            Err(error) => {
                assert!(error.is_cancelled(), "{error}");
                queue.lock().unwrap().extend(batch);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn every_decision_counts_once_whatever_is_delivered_twice_and_whoever_dies() {
    let client = client().await;
    let table = table(&client).await;
    let mut random = Rng::with_seed(SEED);
    let mut expected = Expected::new();
    let mut messages = Vec::with_capacity(REQUESTS + REQUESTS / TWICE);
    for number in 0..REQUESTS {
        let message = Decided::of(&request(number, &mut random, &mut expected), "message", &[]).unwrap();
        messages.extend((number % TWICE == 0).then(|| message.clone()));
        messages.push(message);
    }
    // The order is roughly that of the requests, as with SQS.
    let mut places: Vec<_> = (0..messages.len()).map(|place| (place + random.usize(0..DISORDER), place)).collect();
    places.sort_unstable();
    let sent = messages.len();
    let queue: Queue = Arc::new(Mutex::new(places.into_iter().map(|(_, place)| messages[place].clone()).collect()));
    let kills = Arc::new(Mutex::new(KILLS));
    let begun = Instant::now();
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let history = History::new(faulty(random.u64(..)).await, table.clone());
        let random = Rng::with_seed(SEED + worker as u64);
        workers.push(tokio::spawn(work(history, Arc::clone(&queue), Arc::clone(&kills), random)));
    }
    let mut before = 0;
    for worker in workers {
        before += worker.await.unwrap();
    }
    // A worker may have ended before the batch of another one came back to the queue.
    before += work(History::new(client.clone(), table.clone()), Arc::clone(&queue), Arc::clone(&kills), random).await;
    let took = begun.elapsed();
    assert_eq!(*kills.lock().unwrap(), 0, "all workers that were to be killed were begun");
    let (found, markers) = whole(&client, &table).await;
    assert_eq!(markers, REQUESTS);
    assert_eq!(found.len(), expected.len());
    for (key, number) in &expected {
        assert_eq!(found.get(key), Some(number), "{key:?}");
    }
    println!("## The usage history, counted exactly once");
    println!("| requests | messages | workers killed | found counted | numbers compared | seconds |");
    println!("|---|---|---|---|---|---|");
    println!("| {REQUESTS} | {sent} | {KILLS} | {before} | {} | {:.1} |", expected.len(), took.as_secs_f64());
}
