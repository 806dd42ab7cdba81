//! Coding agents on a budget of $25. Each asks for 32,000 tokens and uses 800, and twenty of them ask at the same
//! time.

use std::collections::BTreeMap;

use sentry_domain::{Amount, CacheTtl, Charges, Price, ScopeLimit, TokenUsage, Usd};
use sentry_ledger::admission::{Standing, Verdict};
use sentry_ledger::change::{Bounds, Change};
use sentry_ledger::item::{Hold, Item};
use sentry_ledger::{Ask, Budget, Figures};

use crate::{DEFAULT_MAX_TOKENS, tight};

const BUDGET: u128 = 25;
const PICODOLLARS: u128 = 1_000_000_000_000;
// The tokens that an agent asks for, and the tokens that it uses.
const ASKED: u32 = 32_000;
const ANSWER: u32 = 800;
// The duration of a model call, and the time between bursts, in milliseconds.
const CALL: i64 = 15_000;
const BETWEEN: i64 = 30_000;
/// The total time that a client waits before it gives up, in milliseconds.
const PATIENCE: i64 = 120_000;

/// The settings of the administrator, or of the client.
struct Case {
    name: &'static str,
    /// Agents that ask at the same time.
    burst: u32,
    /// Input tokens of a request: files and a conversation. Most of them come from the cache.
    input: u64,
    // The `max_tokens` that the client gives, and the upper bound that the sentry sets.
    given: Option<u32>,
    most: u32,
}

/// The result of a case.
#[derive(Default)]
struct Sums {
    hold: Usd,
    used: Usd,
    most_held: Usd,
    served: u32,
    // Requests that were told to wait before 90 % of the budget was spent, and all requests that were told to wait.
    early: u32,
    waited: u32,
    gave_up: u32,
    /// The amount that was spent when the first request was told to wait.
    first_wait: Option<Usd>,
    spent: Usd,
}

struct Waiting {
    arrived: i64,
    waited: bool,
}

fn dollars(usd: Usd) -> f64 {
    usd.picodollars() as f64 / PICODOLLARS as f64
}

fn ask<'a>(case: &Case, price: &'a Price, limit: &'a ScopeLimit) -> Ask<'a> {
    Ask {
        input_tokens: case.input,
        max_tokens: case.given.unwrap_or(DEFAULT_MAX_TOKENS).min(case.most),
        given: case.given.is_some(),
        has_fallback: false,
        price: Some(price),
        charges: Charges { cache: Some(CacheTtl::FiveMinutes), ..Charges::default() },
        budgets: vec![Budget { limit, seen: Amount::ZERO }],
    }
}

/// Runs as many bursts as would spend the whole budget if every request were served.
fn run(case: &Case, price: &Price) -> Sums {
    let limit = tight::limit(BUDGET * PICODOLLARS);
    let ask = ask(case, price, &limit);
    // One tenth is new and is written to the cache. The rest is read from the cache.
    let written = case.input / 10;
    let usage = TokenUsage {
        input: 0,
        output: ANSWER.into(),
        cache_read: case.input - written,
        cache_write: written,
        ..TokenUsage::default()
    };
    let used = Amount::of_request(&usage, Some(price));
    let mut sums = Sums { hold: ask.hold(ask.max_tokens).usd, used: used.usd, ..Sums::default() };
    let bursts = BUDGET * PICODOLLARS / used.usd.picodollars() / u128::from(case.burst) + 2;
    let (mut item, mut events, mut number) = (Item::default(), BTreeMap::new(), 0_u64);
    let mut at = |events: &mut BTreeMap<(i64, u64), Event>, time: i64, event| {
        number += 1;
        events.insert((time, number), event);
    };
    for burst in 0..i64::try_from(bursts).unwrap() {
        for _ in 0..case.burst {
            at(&mut events, burst * BETWEEN, Event::Ask(Waiting { arrived: burst * BETWEEN, waited: false }));
        }
    }
    while let Some(((now, number), event)) = events.pop_first() {
        match event {
            Event::End(owner, hold) => {
                let settle = Change::Settle { owner, hold, actual: used, shard: false, lasted_ms: Some(15_000) };
                item = settle.apply(&item).unwrap();
            }
            Event::Ask(mut waiting) => {
                let figures = Figures::of(&item, []);
                match ask.judge(&[Standing { budget: ask.budgets[0], figures }], now) {
                    Verdict::Fits { max_tokens, .. } => {
                        let hold = Hold { amount: ask.hold(max_tokens), taken_ms: now, expires_ms: now + 360_000 };
                        let bounds = Bounds::new(&limit.limits, &Amount::ZERO, &hold.amount).unwrap();
                        let (owner, terms) = (number.to_string(), String::new());
                        let take = Change::Take {
                            owner: owner.clone(),
                            hold: hold.clone(),
                            bounds,
                            terms,
                            watch: None,
                            delete_after: None,
                        };
                        item = take.apply(&item).unwrap();
                        sums.served += 1;
                        sums.most_held = sums.most_held.max(item.held.usd);
                        at(&mut events, now + CALL, Event::End(owner, hold));
                    }
                    Verdict::Denied(shortage) => {
                        let Some(seconds) = shortage.retry_after_seconds else { continue };
                        sums.first_wait.get_or_insert(item.settled.usd);
                        sums.waited += u32::from(!waiting.waited);
                        let is_early = item.settled.usd.picodollars() < BUDGET * PICODOLLARS * 9 / 10;
                        sums.early += u32::from(!waiting.waited && is_early);
                        waiting.waited = true;
                        let again = now + i64::try_from(seconds).unwrap() * 1_000;
                        if again - waiting.arrived > PATIENCE {
                            sums.gave_up += 1;
                        } else {
                            at(&mut events, again, Event::Ask(waiting));
                        }
                    }
                }
            }
        }
    }
    sums.spent = item.settled.usd;
    sums
}

enum Event {
    Ask(Waiting),
    End(String, Hold),
}

/// Prints the table of all cases.
pub fn print(price: &Price) {
    let as_is = Case { name: "as they are", burst: 20, input: 20_000, given: Some(ASKED), most: u32::MAX };
    let cases = [
        Case { name: "forty at the same time", burst: 40, ..as_is },
        Case { name: "sixty at the same time", burst: 60, ..as_is },
        Case { name: "at most 8,000 tokens a request (perRequest)", most: 8_000, ..as_is },
        Case { name: "at most 4,000 tokens a request (perRequest)", most: 4_000, ..as_is },
        Case { name: "clients give no max_tokens (default 2,048)", given: None, ..as_is },
        Case { name: "sixty, clients give no max_tokens", given: None, burst: 60, ..as_is },
    ];
    println!(
        "\nCoding agents on a budget of ${BUDGET}: bursts of twenty every {} s, each reads {} tokens (nine in ten from the cache), asks for {ASKED} and uses {ANSWER}; a call takes {} s; who is told to wait comes again when told, for {} s.\n",
        BETWEEN / 1_000,
        as_is.input,
        CALL / 1_000,
        PATIENCE / 1_000
    );
    println!(
        "| what is done about it                       | hold $ | used $ | held/used | most held $ | served of the possible | told to wait | before 90 % is spent | spent at the first wait $ | gave up | spent $ |"
    );
    println!(
        "|---------------------------------------------|-------:|-------:|----------:|------------:|-----------------------:|-------------:|---------------------:|--------------------------:|--------:|--------:|"
    );
    for case in [&as_is].into_iter().chain(&cases) {
        let sums = run(case, price);
        let possible = BUDGET * PICODOLLARS / sums.used.picodollars();
        println!(
            "| {:<43} | {:>6.3} | {:>6.3} | {:>9.1} | {:>11.2} | {:>22} | {:>12} | {:>20} | {:>25} | {:>7} | {:>7.2} |",
            case.name,
            dollars(sums.hold),
            dollars(sums.used),
            dollars(sums.hold) / dollars(sums.used),
            dollars(sums.most_held),
            format!("{} of {possible}", sums.served),
            sums.waited,
            sums.early,
            sums.first_wait.map_or_else(|| "-".to_owned(), |usd| format!("{:.2}", dollars(usd))),
            sums.gave_up,
            dollars(sums.spent),
        );
    }
}
