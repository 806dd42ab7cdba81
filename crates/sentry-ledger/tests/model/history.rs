//! A budget that begins in the middle of a window with the usage of its scope before that.
//!
//! The usage history counts messages. They are delivered at least once and in any order, and the history marks them to
//! count each of them once. The first request begins the own item of a budget, as in `Ledger::begin`, with the usage
//! that the history has at that moment. Executions are given up in between.

use std::collections::BTreeSet;
use std::time::Instant;

use sentry_domain::{Amount, Limits};
use sentry_ledger::change::{Bounds, Change};
use sentry_ledger::item::{Hold, Item};
use stateright::{Checker, Model, Property};

use crate::{LONGEST, ONE};

/// The usage that each message of the past reports.
const SPENT: [u64; 2] = [2, 1];
// The tokens that a request holds, and the limit.
const HOLD: u64 = 1;
const LIMIT: u64 = 4;
/// Requests that arrive after the budget was set.
const REQUESTS: usize = 2;

pub const NOT_TWICE: &str = "no more is counted than was spent";
pub const COUNTED: &str = "what was known to be spent counts";

#[derive(Clone, Copy, Debug, Default)]
struct History {
    /// `true` if a message that is delivered again is counted again.
    no_marker: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    item: Item,
    /// The messages that the history has marked, and its sum.
    marked: BTreeSet<usize>,
    sum: u64,
    /// The number of deliveries of each message.
    delivered: [u8; SPENT.len()],
    requests: [Request; REQUESTS],
    /// The real usage of the marked messages when the first request read the item.
    before: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Request {
    #[default]
    Idle,
    /// The item was read, and nothing was counted in it.
    Missing,
    /// The history was read.
    Begin(u64),
    /// The item is begun, or there is nothing to begin it with.
    Take,
    Held,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Deliver(usize),
    Step(usize),
    /// The execution of the request is given up.
    Bar(usize),
}

fn amount(output: u64) -> Amount {
    Amount { output, requests: 1, in_flight: 1, ..Amount::ZERO }
}

fn owner(number: usize) -> String {
    number.to_string()
}

fn begin(settled: u64) -> Change {
    Change::Begin { settled: amount(settled).spent_in_full(), delete_after: None }
}

fn take(number: usize) -> Change {
    let limits = Limits { output: Some(LIMIT), ..Limits::default() };
    let amount = amount(HOLD);
    let hold = Hold { amount, taken_ms: 0, expires_ms: 360_000 };
    let bounds = Bounds::new(&limits, &Amount::ZERO, &amount).unwrap();
    Change::Take { owner: owner(number), hold, bounds, terms: "terms".into(), watch: None, delete_after: None }
}

impl World {
    fn make(&mut self, change: &Change) -> bool {
        let next = change.apply(&self.item);
        self.item = next.clone().unwrap_or_else(|| self.item.clone());
        next.is_some()
    }

    /// The real usage of the messages that the history has marked.
    fn known(&self) -> u64 {
        self.marked.iter().map(|message| SPENT[*message]).sum()
    }
}

impl Model for History {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let more = (0..SPENT.len()).filter(|message| world.delivered[*message] < 2);
        actions.extend(more.map(Action::Deliver));
        for (number, request) in world.requests.iter().enumerate() {
            if !matches!(request, Request::Held | Request::Over) {
                actions.extend([Action::Step(number), Action::Bar(number)]);
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Deliver(message) => {
                next.delivered[message] += 1;
                if next.marked.insert(message) || self.no_marker {
                    next.sum += SPENT[message];
                }
            }
            Action::Bar(number) => {
                next.make(&Change::Bar { owner: owner(number), until_ms: 120_000, delete_after: None });
                next.requests[number] = Request::Over;
            }
            Action::Step(number) => {
                next.requests[number] = match world.requests[number] {
                    Request::Idle => {
                        next.before.get_or_insert(world.known());
                        if world.item.begun { Request::Take } else { Request::Missing }
                    }
                    Request::Missing if world.sum == 0 => Request::Take,
                    Request::Missing => Request::Begin(world.sum),
                    Request::Begin(spent) => {
                        next.make(&begin(spent));
                        Request::Take
                    }
                    Request::Take if next.make(&take(number)) => Request::Held,
                    Request::Take | Request::Held | Request::Over => Request::Over,
                }
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOT_TWICE, |_, world: &World| world.item.settled.output <= SPENT.iter().sum()),
            Property::always(COUNTED, |_, world: &World| {
                world.item.holds.is_empty() || world.before.is_some_and(|before| world.item.settled.output >= before)
            }),
            Property::sometimes("a budget begins with the history", |_, world: &World| world.item.settled.output > 0),
            Property::sometimes("what was spent before is why somebody is denied", |_, world: &World| {
                let barred = world.item.barred.len();
                world.item.holds.len() == 1 && barred == 0 && world.requests.contains(&Request::Over)
            }),
        ]
    }
}

#[test]
fn a_budget_begins_with_what_was_spent_before_and_no_more() {
    let _one = ONE.lock();
    let start = Instant::now();
    let checker = History::default().checker().threads(2).timeout(LONGEST).spawn_bfs().join();
    checker.assert_properties();
    let (states, distinct) = (checker.state_count(), checker.unique_state_count());
    println!(
        "## A budget that begins with the usage history: {states} states, {distinct} distinct, {:.1} s",
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn a_history_that_counts_twice_is_caught() {
    let _one = ONE.lock();
    let checker = History { no_marker: true }.checker().threads(2).timeout(LONGEST).spawn_bfs().join();
    let run = checker.discovery(NOT_TWICE).expect("a message that is counted twice breaks it");
    println!("## A history without markers breaks '{NOT_TWICE}': {:?}", run.into_actions());
}
