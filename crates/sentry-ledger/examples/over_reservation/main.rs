//! The ratio of held to used amounts over a mixed workload: Σ held / Σ used by unit, and the effect of each measure on
//! it.
//!
//! The ledger's own rules compute the hold of every request. In every case, the hold covers the usage.
//! `cargo run -p sentry-ledger --example over_reservation`

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "a measurement: it may stop, and its ratios are for people"
)]

mod agents;
mod tight;
mod workload;

use sentry_domain::{Amount, Charges, Price, TokenUsage, Unit};
use sentry_ledger::Ask;
use workload::{CAREFUL_SHARE, GENEROUS, GENEROUS_SHARE, KINDS, Request};

const REQUESTS: usize = 20_000;
const SEED: u64 = 20_261_121;
/// `defaults.max_tokens` of the catalogue.
const DEFAULT_MAX_TOKENS: u32 = 2_048;

/// Σ held and Σ used of the requests that were sent, the number of answers that were cut short, and the number of
/// requests for which the sentry chose fewer tokens than the default.
#[derive(Default)]
pub struct Sums {
    held: Amount,
    used: Amount,
    sent: u32,
    cut: u32,
    clamped: u32,
}

impl Sums {
    /// Counts a request that held `hold` and could write `max_tokens`. Returns its usage.
    pub fn add(&mut self, request: &Request, hold: Amount, max_tokens: u32, price: &Price) -> Amount {
        let used = used(request, max_tokens, price);
        assert!(Unit::ALL.iter().all(|unit| used.get(*unit) <= hold.get(*unit)), "a hold covers what is used");
        self.held = self.held + hold;
        self.used = self.used + used;
        self.sent += 1;
        self.cut += u32::from(request.answer > max_tokens);
        self.clamped += u32::from(request.max_tokens.is_none() && max_tokens < DEFAULT_MAX_TOKENS);
        used
    }

    fn print(&self, name: &str) {
        let ratio = |held: u128, used: u128| format!("{:.2}", held as f64 / used as f64);
        let of = |unit| ratio(self.held.get(unit), self.used.get(unit));
        let tokens = |amount: &Amount| u128::from(amount.input) + u128::from(amount.output);
        let all = ratio(tokens(&self.held), tokens(&self.used));
        let share = |count| format!("{:.1} %", 100.0 * f64::from(count) / f64::from(self.sent));
        let (input, output, usd) = (of(Unit::Input), of(Unit::Output), of(Unit::Usd));
        let (cut, clamped) = (share(self.cut), share(self.clamped));
        println!("| {name:<62} | {input:>5} | {output:>6} | {all:>10} | {usd:>7} | {cut:>9} | {clamped:>7} |");
    }
}

/// The usage of the request if the model may write `max_tokens`.
#[must_use]
pub fn used(request: &Request, max_tokens: u32, price: &Price) -> Amount {
    let output = request.answer.min(max_tokens).into();
    Amount::of_request(&TokenUsage { input: request.input, output, ..TokenUsage::default() }, Some(price))
}

/// Price of Sonnet 4 in us-east-1, as in the catalogue (AWS price list of 2026-08-31).
#[must_use]
pub fn sonnet_4() -> Price {
    let text = r#"{"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite5m": "3.75", "cacheWrite1h": "6"}"#;
    serde_json::from_str(text).unwrap()
}

/// Admits every request. `input` and `max_tokens` determine the hold.
fn ample(
    requests: &[Request],
    price: &Price,
    input: impl Fn(&Request) -> u64,
    max_tokens: impl Fn(&Request) -> u32,
) -> Sums {
    let mut sums = Sums::default();
    for request in requests {
        let most = max_tokens(request);
        let ask = Ask {
            input_tokens: input(request),
            max_tokens: most,
            given: request.max_tokens.is_some(),
            has_fallback: false,
            price: Some(price),
            charges: Charges::default(),
            budgets: vec![],
        };
        sums.add(request, ask.hold(most), most, price);
    }
    sums
}

/// For each kind, the tokens that 99 of 100 of its answers do not exceed. They come from the first tenth of the
/// requests.
fn usual(requests: &[Request]) -> Vec<u32> {
    let of = |place| {
        let first = requests.iter().take(requests.len() / 10).filter(|request| request.kind == place);
        let mut answers: Vec<u32> = first.map(|request| request.answer).collect();
        answers.sort_unstable();
        answers[answers.len() * 99 / 100]
    };
    (0..KINDS.len()).map(of).collect()
}

fn main() {
    let (requests, price) = (workload::requests(SEED, REQUESTS), sonnet_4());
    let chosen = |request: &Request| request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
    let (bytes, counted) = (|request: &Request| request.bound, |request: &Request| request.input);
    let kinds: Vec<String> = KINDS.iter().map(|kind| format!("{} % {}", kind.share, kind.name)).collect();
    println!("{REQUESTS} requests: {}.", kinds.join(", "));
    println!(
        "{CAREFUL_SHARE} % give a max_tokens above nine in ten answers of their kind, {GENEROUS_SHARE} % give {GENEROUS}, the rest none (default {DEFAULT_MAX_TOKENS})."
    );
    let average = ample(&requests, &price, counted, chosen).used;
    let mean = |tokens: u64| tokens / u64::try_from(REQUESTS).unwrap();
    println!("On average {} tokens are read and {} written.\n", mean(average.input), mean(average.output));
    println!(
        "| Σ held / Σ used                                                | input | output | all tokens | dollars | cut short | clamped |"
    );
    println!(
        "|----------------------------------------------------------------|------:|-------:|-----------:|--------:|----------:|--------:|"
    );
    ample(&requests, &price, bytes, chosen).print("bytes bound the input");
    ample(&requests, &price, counted, chosen).print("CountTokens counts it");
    tight::run(&requests, &price, 100, 2).print("CountTokens, budget for half of them, 100 in flight");
    tight::run(&requests[..1_000], &price, 50, 50).print("CountTokens, budget for one in fifty, 50 in flight");
    let usual = usual(&requests);
    let learned = |request: &Request| request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS.min(usual[request.kind]));
    ample(&requests, &price, counted, learned).print("not built: default max_tokens = 99th percentile of its kind");
    let asked = |request: &Request| if request.max_tokens == Some(GENEROUS) { None } else { request.max_tokens };
    let all = |request: &Request| asked(request).unwrap_or(DEFAULT_MAX_TOKENS.min(usual[request.kind]));
    ample(&requests, &price, counted, all).print("not built: the same, and generous clients give no max_tokens");
    agents::print(&price);
}
