//! Reads damaged answers, each as Bedrock sends it and with the names of Step Functions. Panics if reading one of them
//! panics or breaks a rule.
//!
//! `cargo run -p sentry-models --features adapters --example fuzz_answers [INPUTS] [SEED]` prints a row: inputs, seed,
//! answers and errors of Bedrock's names, answers and errors of Step Functions' names, seconds.

#[path = "../src/adapters/tests/reference.rs"]
#[expect(dead_code, reason = "the models are the tests' own")]
mod reference;

use std::time::Instant;

use fastrand::Rng;
use reference::answer;
use sentry_contract::answer::StopReason;
use sentry_domain::{CacheTtl, Charges};
use sentry_models::adapters::{Effect, ModelFailure, Reply, integration, normalize};
use serde_json::Value;

/// Fragments that damage JSON, or change it into other valid JSON.
const PIECES: &[&str] = &[
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "18446744073709551615",
    "2147483648",
    "0.5",
    "\"\"",
    "[]",
    "{}",
    "[[[[",
    "]",
    "}",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "🦀",
    "{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"n\"}}",
    "guardrail_intervened",
    "tool_use",
    "{\"reasoningContent\":{\"redactedContent\":\"YQ==\"}}",
    "\"signature\":",
    "\"ttl\":\"1d\"",
    "priority",
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (inputs, seed): (u64, u64) = (number(1_000_000), number(1));
    let mut rng = Rng::with_seed(seed);
    let start = Instant::now();
    let (mut direct, mut native): (u64, u64) = (0, 0);
    for input in 0..inputs {
        let charges = Charges { cache: rng.choice(CacheTtl::ALL).copied(), ..Charges::default() };
        let body = damaged(&mut rng);
        let result = normalize(serde_json::from_slice(&body).unwrap_or_default(), charges);
        assert!(holds(&result), "input {input} of seed {seed} breaks the reading of Bedrock's names");
        direct += u64::from(result.is_ok());
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let result = integration::read(integration::pascal(value), charges);
        assert!(holds(&result), "input {input} of seed {seed} breaks the reading of Step Functions' names");
        native += u64::from(result.is_ok());
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "| {inputs} | {seed} | {direct} | {} | {native} | {} | {seconds:.1} |",
        inputs.saturating_sub(direct),
        inputs.saturating_sub(native)
    );
}

/// `true` if an answer has a usage, and if an error neither releases the hold nor allows a retry.
fn holds(result: &Result<Reply, ModelFailure>) -> bool {
    match result {
        Ok(Reply { usage, stop_reason, .. }) => {
            let read = usage.read() > 0 || *stop_reason == StopReason::GuardrailIntervened;
            read && usage.cache_write_1h <= usage.cache_write
        }
        Err(failure) => failure.effect == Effect::Unknown && failure.usage.is_none_or(|usage| usage.read() > 0),
    }
}

/// A correct answer with up to eight changes, or random bytes in one of sixteen cases.
fn damaged(rng: &mut Rng) -> Vec<u8> {
    if rng.u8(..16) == 0 {
        return (0..rng.usize(..300)).map(|_| rng.u8(..)).collect();
    }
    let tokens = [rng.u64(..10_000), rng.u64(..10_000), rng.u64(..100), rng.u64(..100)];
    let mut body = answer("S3 is <b>storage</b>.\n\"Größe\" 🦀", tokens).to_string().into_bytes();
    for _ in 0..rng.u8(..=8) {
        wound(rng, &mut body);
    }
    body
}

fn wound(rng: &mut Rng, body: &mut Vec<u8>) {
    let from = rng.usize(..=body.len());
    let to = rng.usize(from..=body.len().min(from + 12));
    match rng.u8(..5) {
        0 => drop(body.drain(from..to)),
        1 => body.extend_from_within(from..to),
        2 => body.truncate(if rng.u8(..4) == 0 { from } else { body.len() }),
        3 => body.iter_mut().take(to).skip(from).for_each(|byte| *byte ^= 1 << rng.u8(..8)),
        _ => {
            let piece = rng.choice(PIECES).copied().unwrap_or_default();
            drop(body.splice(from..to, piece.bytes()));
        }
    }
}
