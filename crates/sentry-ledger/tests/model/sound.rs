//! The protocol without faults: no property can be broken.

use std::collections::HashMap;
use std::time::Instant;

use sentry_domain::{Limits, Remedy, ScopeLimit};
use stateright::{Checker, Expectation, Model, Path};

use crate::action::Action;
use crate::faults::describe;
use crate::setup::{Outcome, Request, Setup, limit, limit_in_flight, limit_of_tick, output};
use crate::world::World;
use crate::{LONGEST, ONE};

const EVERY: &[Outcome] =
    &[Outcome::Nothing, Outcome::Less, Outcome::All, Outcome::UnknownNothing, Outcome::UnknownAll];
const FEW: &[Outcome] = &[Outcome::Nothing, Outcome::Less, Outcome::UnknownAll];

const fn request(id: &'static str, tokens: u32) -> Request {
    Request { id, input: 0, tokens, given: true }
}

/// One scope with room for two requests. Three requests arrive, and nothing goes wrong.
pub fn one_scope() -> Setup {
    Setup {
        name: "one scope",
        limits: vec![limit("model#m", output(4), 1)],
        requests: vec![request("1", 2), request("2", 2), request("3", 2)],
        outcomes: EVERY,
        crashes: 0,
        late: 0,
        spreads: 0,
        queue: false,
        slow_sweeper: false,
        hold_ticks: 1,
        last_start: 0,
        last_tick: 1,
        bypass: None,
        burst: false,
        executions: (0, 1),
        fault: None,
    }
}

/// Two nested scopes that are tight in different units.
pub fn two_scopes() -> Setup {
    let tight = Limits { input: Some(2), output: Some(3), ..Limits::default() };
    Setup {
        name: "two scopes, crashes",
        limits: vec![limit("model#m", output(3), 1), limit("application#a", tight, 1)],
        requests: vec![Request { input: 2, ..request("1", 1) }, Request { input: 1, ..request("2", 2) }],
        outcomes: FEW,
        crashes: 2,
        ..one_scope()
    }
}

/// The same request twice, and another request.
pub fn duplicates() -> Setup {
    Setup {
        name: "a duplicate, crashes",
        limits: vec![limit("model#m", output(3), 1)],
        requests: vec![request("1", 2), request("1", 2), request("2", 2)],
        outcomes: FEW,
        crashes: 1,
        ..one_scope()
    }
}

/// Two shards. A request that is too large for one of them needs the unused part of a lease.
fn sharded() -> Setup {
    Setup {
        name: "two shards, large requests, crashes",
        limits: vec![limit("model#m", output(16), 2)],
        requests: vec![request("1", 1), request("2", 9), request("3", 7)],
        outcomes: &[Outcome::Nothing, Outcome::UnknownAll],
        crashes: 1,
        ..one_scope()
    }
}

fn clamping(limit: ScopeLimit) -> ScopeLimit {
    ScopeLimit { when_exceeded: vec![Remedy::Clamp], ..limit }
}

/// Two shards, both of which can have a lease.
pub fn two_leases() -> Setup {
    Setup {
        name: "two shards, two leases, crashes",
        limits: vec![limit("model#m", output(24), 2)],
        requests: vec![request("1", 1), request("2", 1)],
        outcomes: FEW,
        crashes: 2,
        ..sharded()
    }
}

/// A scope that changes between two shards and none at any time.
pub fn spreading() -> Setup {
    Setup {
        name: "shards come and go",
        limits: vec![limit("model#m", output(17), 1)],
        requests: vec![request("1", 1), request("2", 1)],
        outcomes: &[Outcome::Less, Outcome::UnknownNothing],
        crashes: 0,
        spreads: 2,
        ..sharded()
    }
}

/// A request that needs almost everything that two others leave. It reads the shards one after the other to find out.
pub fn paged_reads() -> Setup {
    Setup {
        name: "two shards, reads in between",
        limits: vec![limit("model#m", output(24), 2)],
        requests: vec![request("1", 1), request("2", 1), request("3", 23)],
        outcomes: &[Outcome::Nothing, Outcome::UnknownAll],
        crashes: 0,
        last_tick: 0,
        ..sharded()
    }
}

/// A late write into a shard that is closed and opened again.
fn late_shards() -> Setup {
    Setup {
        name: "shards come and go, late writes",
        requests: vec![request("1", 1), request("2", 1)],
        crashes: 0,
        late: 1,
        last_tick: 0,
        outcomes: &[Outcome::Less],
        spreads: 3,
        ..spreading()
    }
}

/// A slow sweeper, so that others act between its steps.
pub fn sweeping() -> Setup {
    Setup {
        name: "two shards, a slow sweeper",
        requests: vec![request("1", 1), request("2", 1)],
        outcomes: &[Outcome::Less, Outcome::UnknownAll],
        executions: (0, 2),
        crashes: 0,
        last_start: 1,
        last_tick: 2,
        slow_sweeper: true,
        ..two_leases()
    }
}

/// Shards of a scope that limits only requests in flight. Their leases do not bound their usage.
fn in_flight_shards() -> Setup {
    Setup {
        name: "in flight, two shards, a slow sweeper",
        limits: vec![ScopeLimit { shards: 2, ..limit_in_flight("model#m", 24) }],
        outcomes: &[Outcome::Less],
        hold_ticks: 2,
        ..sweeping()
    }
}

/// A queue settles the requests that Settle fails to settle.
pub fn queue() -> Setup {
    let requests = vec![request("1", 2), request("2", 3)];
    Setup { name: "settled by the queue", requests, queue: true, crashes: 1, outcomes: FEW, ..one_scope() }
}

/// Two requests may be in flight at the same time.
pub fn in_flight() -> Setup {
    Setup {
        name: "two in flight, crashes",
        limits: vec![limit_in_flight("model#m", 2), limit("model#m", output(6), 1)],
        crashes: 1,
        outcomes: &[Outcome::UnknownAll],
        ..one_scope()
    }
}

/// Three windows of one scope, one of which ends while requests are in flight.
pub fn windows() -> Setup {
    Setup {
        name: "two windows, one rolls over, crashes",
        limits: vec![
            limit("model#m", output(5), 1),
            limit_of_tick("model#m", output(3), 0),
            limit_of_tick("model#m", output(3), 1),
        ],
        requests: vec![request("1", 2), request("2", 2)],
        outcomes: &[Outcome::All, Outcome::UnknownAll],
        crashes: 1,
        hold_ticks: 2,
        last_start: 1,
        last_tick: 3,
        ..one_scope()
    }
}

/// Writes that arrive late or twice, and executions that are given up.
pub fn late() -> Setup {
    Setup {
        name: "late and repeated writes",
        requests: vec![request("1", 2), request("2", 3)],
        crashes: 1,
        late: 2,
        outcomes: FEW,
        ..one_scope()
    }
}

/// Up to two tokens bypass the sentry.
pub fn cloudwatch() -> Setup {
    Setup {
        name: "CloudWatch, crashes",
        requests: vec![request("1", 2), request("2", 2)],
        outcomes: &[Outcome::Less, Outcome::UnknownAll],
        crashes: 1,
        bypass: Some(2),
        ..one_scope()
    }
}

fn all() -> Vec<Setup> {
    vec![
        Setup {
            name: "four at once, room for two",
            requests: vec![request("1", 2), request("2", 2), request("3", 2), request("4", 2)],
            crashes: 2,
            last_tick: 0,
            burst: true,
            ..one_scope()
        },
        Setup {
            name: "four at once, two scopes",
            limits: vec![limit("model#m", output(8), 1), limit("application#a", output(5), 1)],
            requests: vec![request("1", 2), request("2", 2), request("3", 2), request("4", 2)],
            crashes: 1,
            last_tick: 0,
            burst: true,
            ..one_scope()
        },
        one_scope(),
        Setup {
            name: "one scope, crashes, expiry",
            requests: vec![request("1", 2), request("2", 2), request("3", 1)],
            crashes: 1,
            last_start: 1,
            last_tick: 2,
            outcomes: &[Outcome::UnknownAll],
            ..one_scope()
        },
        Setup {
            name: "one scope, reserve over two ticks",
            requests: vec![request("1", 2), request("2", 3)],
            outcomes: &[Outcome::Less, Outcome::UnknownAll],
            crashes: 1,
            hold_ticks: 2,
            last_start: 2,
            last_tick: 5,
            ..one_scope()
        },
        duplicates(),
        two_scopes(),
        cloudwatch(),
        Setup {
            name: "no max_tokens given",
            limits: vec![limit("model#m", output(48), 1)],
            requests: ["1", "2", "3"].map(|id| Request { given: false, ..request(id, 32) }).to_vec(),
            outcomes: &[Outcome::Less],
            crashes: 1,
            ..one_scope()
        },
        Setup {
            name: "max_tokens lowered",
            limits: vec![clamping(limit("model#m", output(48), 1))],
            requests: ["1", "2", "3"].map(|id| request(id, 32)).to_vec(),
            outcomes: &[Outcome::All, Outcome::UnknownAll],
            crashes: 1,
            ..one_scope()
        },
        Setup {
            name: "max_tokens lowered, two scopes",
            limits: vec![clamping(limit("model#m", output(48), 1)), limit("application#a", output(80), 1)],
            requests: ["1", "2", "3"].map(|id| request(id, 32)).to_vec(),
            outcomes: &[Outcome::All],
            crashes: 1,
            last_tick: 0,
            ..one_scope()
        },
        sharded(),
        two_leases(),
        Setup {
            name: "two shards, leases lapse, CloudWatch",
            requests: vec![request("1", 1), request("2", 16)],
            outcomes: &[Outcome::UnknownAll],
            last_start: 1,
            last_tick: 2,
            bypass: Some(1),
            ..sharded()
        },
        Setup {
            name: "two scopes, one in two shards",
            limits: vec![limit("model#m", output(17), 1), limit("application#a", output(16), 2)],
            requests: vec![request("1", 1), request("2", 16)],
            crashes: 1,
            ..sharded()
        },
        late(),
        spreading(),
        late_shards(),
        paged_reads(),
        sweeping(),
        in_flight_shards(),
        windows(),
        queue(),
        in_flight(),
    ]
}

#[test]
fn the_protocol_holds_in_every_state() {
    let _one = ONE.lock();
    let start = Instant::now();
    let (mut generated, mut unique) = (0, 0);
    let row = |name: &str, states: usize, unique: usize, depth: String, start: Instant| {
        println!("| {name:<37} | {states:>9} | {unique:>9} | {depth:>5} | {:>7.1} |", start.elapsed().as_secs_f64());
    };
    println!("## Every state of the ledger's protocol");
    println!("| {:<37} | {:>9} | {:>9} | {:>5} | {:>7} |", "configuration", "states", "distinct", "depth", "seconds");
    println!("|{:-<39}|{:->10}:|{:->10}:|{:->6}:|{:->8}:|", "", "", "", "", "");
    for setup in all() {
        let start = Instant::now();
        let checker = setup.clone().checker().threads(2).timeout(LONGEST).spawn_bfs().join();
        row(setup.name, checker.state_count(), checker.unique_state_count(), checker.max_depth().to_string(), start);
        assert!(start.elapsed() < LONGEST, "{}: too many states", setup.name);
        check(&setup, checker.discoveries());
        generated += checker.state_count();
        unique += checker.unique_state_count();
    }
    row("all", generated, unique, String::new(), start);
}

/// Checks that every invariant holds, and that every event that must be possible has happened.
fn check(setup: &Setup, mut found: HashMap<&'static str, Path<World, Action>>) {
    for property in setup.properties() {
        let run = found.remove(property.name);
        match (property.expectation, run) {
            (Expectation::Sometimes, None) => panic!("{}: it never happens that {}", setup.name, property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(run)) => panic!("{}:\n{}", setup.name, describe(setup, property.name, run)),
        }
    }
}
