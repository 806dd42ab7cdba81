//! Protocols that are broken on purpose. The model finds each of them by the property that it breaks.

use std::fmt::Write;
use std::time::Instant;

use sentry_domain::Amount;
use sentry_ledger::change::Change;
use sentry_ledger::item::Item;
use sentry_ledger::steps::Key;
use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::ONE;
use crate::action::Action;
use crate::properties;
use crate::setup::{Fault, OWNERS, Setup};
use crate::sound::{cloudwatch, duplicates, late, one_scope, paged_reads, spreading, sweeping, two_scopes, windows};
use crate::world::{World, holds, settled};

/// The expiry of a hold. The protocol that refunds expired holds settles it at zero.
pub fn refund(setup: &Setup, (key, mut change): (Key, Change)) -> (Key, Change) {
    if let (Some(Fault::ExpiryRefunds), Change::Settle { actual, .. }) = (setup.fault, &mut change) {
        *actual = Amount::ZERO;
    }
    (key, change)
}

/// The item after a change that its condition refuses, in a protocol without this condition: a repeated settlement
/// counts again, or a hold is taken that the sweep finds late.
pub fn again(setup: &Setup, item: &Item, change: &Change) -> Option<Item> {
    match (setup.fault, change) {
        (Some(Fault::SettleNotIdempotent), Change::Settle { hold, actual, .. }) => {
            Some(Item { settled: item.settled + *actual, held: item.held.saturating_sub(hold.amount), ..item.clone() })
        }
        (Some(Fault::SweepComesLate), Change::Take { .. }) => {
            let taken = change.apply(&Item { sweep_at_ms: None, ..item.clone() })?;
            Some(Item { sweep_at_ms: item.sweep_at_ms, ..taken })
        }
        _ => None,
    }
}

/// The run without the steps that are not needed to break `property`.
fn shortest(setup: &Setup, property: &'static str, run: Path<World, Action>) -> Path<World, Action> {
    let breaks = |run: &Path<World, Action>| {
        let property = setup.properties().into_iter().find(|each| each.name == property).unwrap();
        !(property.condition)(setup, run.last_state())
    };
    let mut best = run;
    let mut skip = best.clone().into_actions().len();
    while skip > 0 {
        skip -= 1;
        let mut actions = best.clone().into_actions();
        actions.remove(skip);
        if let Some(shorter) = Path::from_actions(setup, World::new(setup), &actions).filter(breaks) {
            best = shorter;
            skip = actions.len();
        }
    }
    best
}

/// The text of a run with one step per line, and the ledger's figures at its end.
pub fn describe(setup: &Setup, property: &'static str, run: Path<World, Action>) -> String {
    let run = shortest(setup, property, run);
    let last = run.last_state().clone();
    let mut text = format!("  breaks: {property}\n");
    for (number, action) in run.into_actions().iter().enumerate() {
        writeln!(text, "    {:>2}. {action}", number + 1).unwrap();
    }
    for (limit, items) in setup.limits.iter().zip(&last.scopes) {
        let (settled, holds) = (settled(items), holds(items));
        for (unit, most) in limit.limits.iter() {
            let (settled, holds, name) = (settled.get(unit), holds.get(unit), unit.name());
            let (scope, window) = (&limit.scope, &limit.window.name);
            writeln!(text, "        {scope} {window}: limit {most} {name}, settled {settled}, holds {holds}").unwrap();
        }
    }
    let spent = last.clients.iter().zip(OWNERS).filter_map(|(client, name)| Some(format!("{name} {}", client.spent?)));
    writeln!(text, "        really used: {}", spent.collect::<Vec<_>>().join(", ")).unwrap();
    text
}

#[test]
fn every_broken_protocol_is_caught() {
    let _one = ONE.lock();
    for (fault, setup, property) in [
        (Fault::HoldForgottenOnDeny, Setup { crashes: 0, ..two_scopes() }, properties::REFUSED),
        (Fault::SettleNotIdempotent, Setup { crashes: 1, ..one_scope() }, properties::ONCE),
        (Fault::ExpiryRefunds, one_scope(), properties::LOST),
        (Fault::CheckThenWrite, one_scope(), properties::LIMIT),
        (Fault::RecordNotChecked, Setup { crashes: 0, ..duplicates() }, properties::ONE_RUN),
        (Fault::RepeatDoesNotLook, Setup { crashes: 1, ..spreading() }, properties::ONE_HOLD),
        (Fault::CloudWatchIgnored, Setup { crashes: 0, ..cloudwatch() }, properties::CLOUDWATCH),
        (Fault::NoBar, late(), properties::REFUSED),
        (Fault::DenialGivesNothingBack, late(), properties::REFUSED),
        (Fault::PagedReadAsOneMoment, paged_reads(), properties::REASON),
        (Fault::WindowLeftOut, Setup { crashes: 0, ..windows() }, properties::LIMIT),
        (Fault::SweepForgets, sweeping(), properties::INDEX),
        (Fault::SweepComesLate, late(), properties::IN_TIME),
    ] {
        let setup = Setup { fault: Some(fault), ..setup };
        let start = Instant::now();
        let search = setup.clone().checker().finish_when(HasDiscoveries::AnyFailures);
        let checker = search.threads(2).timeout(crate::LONGEST).spawn_bfs().join();
        let (states, seconds) = (checker.unique_state_count(), start.elapsed().as_secs_f64());
        println!("## {fault:?} breaks '{property}': found after {states} states, {seconds:.1} s");
        let mut found = checker.discoveries();
        let names: Vec<_> = found.keys().copied().collect();
        let run =
            found.remove(property).unwrap_or_else(|| panic!("{fault:?} does not break '{property}' but {names:?}"));
        println!("{}", describe(&setup, property, run));
    }
}
