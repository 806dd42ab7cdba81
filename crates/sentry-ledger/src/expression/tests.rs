//! The expressions of each change, as DynamoDB receives them.

use std::collections::BTreeSet;

use chrono::DateTime;
use sentry_domain::{Limits, Usd};

use super::*;
use crate::change::{Bounds, Most};
use crate::item::Item;
use crate::lease::terms;

const OWNER: &str = "ehhnajOTH1w";
/// 2026-11-21T12:00:00Z, in milliseconds since 1970.
const NOON: i64 = 1_795_262_400_000;
/// Eight days after the end of November 2026, in seconds since 1970.
const KEPT_UNTIL: i64 = 1_796_774_400;

/// 400 tokens in, 1,000 out and $0.0162, from noon for six minutes.
fn hold() -> Hold {
    let usd = Usd::from_picodollars(16_200_000_000);
    let amount = Amount { input: 400, output: 1_000, usd, requests: 1, in_flight: 1 };
    Hold { amount, taken_ms: NOON, expires_ms: NOON + 360_000 }
}

fn spent() -> Amount {
    let usd = Usd::from_picodollars(14_550_000_000);
    Amount { input: 350, output: 900, usd, requests: 1, in_flight: 0 }
}

/// 5,000 output tokens and a dollar.
fn limits() -> Limits {
    let usd = Usd::from_picodollars(1_000_000_000_000);
    Limits { output: Some(5_000), usd: Some(usd), ..Limits::default() }
}

fn watch() -> Watch {
    Watch {
        alert_at: BTreeSet::from([80, 100]),
        limits: limits(),
        resets_at: DateTime::from_timestamp(1_796_083_200, 0),
        window: "2026-11".into(),
        respond: None,
    }
}

/// A lease of 500 output tokens and ten cents.
fn block() -> PerUnit<i128> {
    PerUnit { output: 500, usd: 100_000_000_000, ..PerUnit::default() }
}

/// A shard whose lease ends at noon. It has settled a request.
fn shard(held: u64) -> Item {
    Item {
        settled: spent(),
        held: Amount { requests: held, ..Amount::ZERO },
        free: PerUnit { input: -350, output: 20, ..PerUnit::default() },
        terms: Some(terms(&limits())),
        lease_until_ms: NOON,
        spread: 4,
        ..Item::default()
    }
}

fn take(seen: Amount, watch: Option<Watch>, delete_after: Option<i64>) -> Change {
    let bounds = Bounds::new(&limits(), &seen, &hold().amount).unwrap();
    Change::Take { owner: OWNER.into(), hold: hold(), bounds, terms: terms(&limits()), watch, delete_after }
}

fn settle(actual: Amount, shard: bool, lasted_ms: Option<u64>) -> Change {
    Change::Settle { owner: OWNER.into(), hold: hold(), actual, shard, lasted_ms }
}

fn leases() -> [(&'static str, Change); 5] {
    let all = || Some(terms(&limits()));
    let most = Most {
        committed: PerUnit { output: Some(4_500), usd: Some(900_000_000_000), ..PerUnit::default() },
        held: PerUnit { output: Some(3_800), usd: Some(900_000_000_000), ..PerUnit::default() },
    };
    let lease = Change::Lease {
        shards: vec![(0, Some(0)), (3, Some(2))],
        change: block(),
        spent: spent(),
        terms: all(),
        watch: Some(watch()),
        most,
        delete_after: Some(KEPT_UNTIL),
    };
    let recall = Change::Lease {
        shards: vec![(3, None)],
        change: -block(),
        spent: spent(),
        terms: None,
        watch: None,
        most: Most::default(),
        delete_after: None,
    };
    let leased = |known, change, terms, until_ms, delete_after| Change::Leased {
        known: Box::new(known),
        change,
        terms,
        until_ms,
        spread: 4,
        delete_after,
    };
    let until = NOON + 60_000;
    [
        ("lease", lease),
        ("lease_that_is_called_back", recall),
        ("leased_first", leased(Item::default(), block(), all(), until, Some(KEPT_UNTIL))),
        ("leased_again", leased(shard(1), block(), all(), until, Some(KEPT_UNTIL))),
        ("leased_no_more", leased(shard(0), -shard(0).free, None, 0, None)),
    ]
}

#[test]
fn every_change_is_one_update_with_its_condition() {
    let seen = Amount { output: 700, ..Amount::ZERO };
    let look = |next_ms, is_unheld, unbar| Change::NextLook { at_ms: NOON, next_ms, is_unheld, unbar };
    let draw = Change::Draw {
        owner: OWNER.into(),
        hold: hold(),
        limited: limits().limited(),
        terms: terms(&limits()),
        now_ms: NOON,
    };
    let changes = [
        ("take", take(seen, Some(watch()), Some(KEPT_UNTIL))),
        ("take_without_usage_seen_and_alerts_and_end", take(Amount::ZERO, None, None)),
        ("draw", draw),
        ("settle", settle(spent(), false, Some(7_000))),
        ("settle_in_a_shard_by_the_sweep", settle(hold().amount.spent_in_full(), true, None)),
        ("release", settle(Amount::ZERO, false, Some(7_000))),
        ("bar", Change::Bar { owner: OWNER.into(), until_ms: NOON, delete_after: Some(KEPT_UNTIL) }),
        ("agree", Change::Agree { leases: 7, terms: terms(&limits()) }),
        ("spread", Change::Spread { from: 0, to: 2, now_ms: NOON, settled_since_ms: NOON - 200 }),
        ("begin", Change::Begin { settled: spent(), delete_after: Some(KEPT_UNTIL) }),
        ("next_look", look(Some(NOON + 60_000), false, vec![OWNER.to_owned()])),
        ("next_look_without_holds", look(Some(NOON + 60_000), true, vec![])),
        ("no_next_look", look(None, true, vec![])),
    ];
    let key = Key { scope: "costCenter#support".into(), window: "2026-11".into() };
    for (name, change) in changes.into_iter().chain(leases()) {
        let action = Expression::of(&change).action("ledger", &key).unwrap();
        insta::assert_json_snapshot!(name, test_support::update(action.update().unwrap()));
    }
}
