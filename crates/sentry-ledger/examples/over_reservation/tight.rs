//! A budget in dollars that is too small for all requests, with many of them in flight. Here the sentry chooses
//! `max_tokens` for clients that give none.

use std::collections::VecDeque;

use sentry_domain::{Amount, Charges, Limits, Price, ScopeLimit, Usd};
use sentry_ledger::admission::{Standing, Verdict};
use sentry_ledger::change::{Bounds, Change};
use sentry_ledger::item::{Hold, Item};
use sentry_ledger::{Ask, Budget, Figures};

use crate::workload::Request;
use crate::{DEFAULT_MAX_TOKENS, Sums, used};

/// The number of retries of a client that is told to wait.
const TRIES: u32 = 50;

/// Runs the requests against a budget of one `part`-th of the cost of all of them, with `in_flight` of them at a time.
pub fn run(requests: &[Request], price: &Price, in_flight: usize, part: u128) -> Sums {
    let all: Amount =
        requests.iter().map(|request| used(request, request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS), price)).sum();
    let limit = limit(all.usd.picodollars() / part);
    let (mut sums, mut item, mut flying) = (Sums::default(), Item::default(), VecDeque::new());
    let mut waiting: VecDeque<(usize, u32)> = (0..requests.len()).map(|place| (place, 0)).collect();
    while let Some((place, tries)) = waiting.pop_front() {
        if flying.len() == in_flight {
            land(&mut item, &mut flying);
        }
        let request = &requests[place];
        let ask = Ask {
            input_tokens: request.input,
            max_tokens: request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            given: request.max_tokens.is_some(),
            has_fallback: false,
            price: Some(price),
            charges: Charges::default(),
            budgets: vec![Budget { limit: &limit, seen: Amount::ZERO }],
        };
        match ask.judge(&[Standing { budget: ask.budgets[0], figures: Figures::of(&item, []) }], 0) {
            Verdict::Fits { max_tokens, .. } => {
                let amount = ask.hold(max_tokens);
                let hold = Hold { amount, taken_ms: 0, expires_ms: 360_000 };
                let bounds = Bounds::new(&limit.limits, &Amount::ZERO, &amount).unwrap();
                let take = Change::Take {
                    owner: place.to_string(),
                    hold: hold.clone(),
                    bounds,
                    terms: String::new(),
                    watch: None,
                    delete_after: None,
                };
                item = take.apply(&item).unwrap();
                flying.push_back((place, hold, sums.add(request, amount, max_tokens, price)));
            }
            Verdict::Denied(shortage) if shortage.retry_after_seconds.is_some() && tries < TRIES => {
                land(&mut item, &mut flying);
                waiting.push_back((place, tries + 1));
            }
            Verdict::Denied(_) => {}
        }
        assert!(item.committed().usd <= limit.limits.usd.unwrap(), "the bound");
    }
    sums
}

/// Settles the oldest request in flight.
fn land(item: &mut Item, flying: &mut VecDeque<(usize, Hold, Amount)>) {
    if let Some((place, hold, actual)) = flying.pop_front() {
        let settle = Change::Settle { owner: place.to_string(), hold, actual, shard: false, lasted_ms: None };
        *item = settle.apply(item).unwrap();
    }
}

pub fn limit(picodollars: u128) -> ScopeLimit {
    let limits = Limits { usd: Some(Usd::from_picodollars(picodollars)), ..Limits::default() };
    test_support::limit("model#m", limits, 1)
}
