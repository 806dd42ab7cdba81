//! The steps of `Reserve`, in the order of `Ledger::reserve`. Their decisions are the ledger's own code.

use std::collections::{BTreeMap, BTreeSet};

use sentry_domain::{BudgetEntry, PerUnit, Unit};
use sentry_ledger::admission::Verdict;
use sentry_ledger::change::{Bounds, Change};
use sentry_ledger::steps::{Attempt, ROUNDS, ScopeItems, Standing, Step, candidates, spread};
use sentry_ledger::{Admission, Ask, Shortage};

use crate::faults::refund;
use crate::giving_up;
use crate::setup::{Fault, Setup, at};
use crate::world::{By, Changes, Client, Denial, End, Look, Phase, Room, World, holds, settled};

/// Registers the request in the requests table.
pub fn register(setup: &Setup, world: &mut World, number: usize, places: Vec<Option<u16>>) {
    let id = setup.requests[number].id;
    let known = world.records.get(id).copied();
    let is_other = match known {
        Some((owner, given_up)) => (owner == number) == given_up,
        None => false,
    };
    let mine = !is_other || setup.fault == Some(Fault::RecordNotChecked);
    if !is_other {
        world.records.insert(id, (number, false));
    }
    let client = &mut world.clients[number];
    client.uncertain = !is_other && known == Some((number, false));
    let look = match setup.fault {
        Some(Fault::RepeatDoesNotLook) => false,
        Some(Fault::CheckThenWrite) => true,
        _ => client.uncertain,
    };
    client.since = world.clock;
    client.places = places;
    client.max_tokens = setup.requests[number].tokens;
    client.phase = match mine {
        true if look => Phase::Look(Look::default()),
        true => Phase::Write,
        false => Phase::Over(End::Duplicate),
    };
}

/// The changes of the write, if it can succeed.
pub fn changes(setup: &Setup, client: &Client, number: usize) -> Option<Changes> {
    let ask = setup.ask(number, client);
    let mut changes = setup.attempt(&ask, number, client).changes()?;
    for place in 0..changes.len() {
        let again = (0..place).any(|before| changes[before].0.scope == changes[place].0.scope);
        let unbounded = match setup.fault {
            Some(Fault::CheckThenWrite) => true,
            Some(Fault::WindowLeftOut) => again,
            _ => false,
        };
        if let (true, Change::Take { bounds, .. }) = (unbounded, &mut changes[place].1) {
            *bounds = Bounds::default();
        }
    }
    Some(changes)
}

/// Tries to write the hold.
pub fn write(setup: &Setup, world: &mut World, number: usize) {
    let done = changes(setup, &world.clients[number], number).is_some_and(|changes| match setup.fault {
        Some(Fault::HoldForgottenOnDeny) => changes.chunks(1).all(|change| world.make(setup, change, By::Owner)),
        _ => world.make(setup, &changes, By::Owner),
    });
    world.clients[number].phase = match done {
        true if setup.burst => Phase::Over(End::Admitted),
        true => Phase::Model,
        false => Phase::Look(Look::default()),
    };
}

/// Reads one more item. After the last one, judges by all of them.
pub fn look(setup: &Setup, world: &mut World, number: usize) {
    let client = &world.clients[number];
    let Phase::Look(mut look) = client.phase.clone() else { return };
    let places: Vec<usize> = setup.limits_at(client.born).collect();
    let mut is_checked = false;
    if let Some(place) = places.get(look.scopes.len()) {
        let items = &world.scopes[*place];
        let wanted = wanted(setup, number, *place, items, look.all);
        look.todo.extend(wanted.into_iter().map(|shard| (look.scopes.len(), shard)));
        look.scopes.push(ScopeItems { own: items.own.clone(), shards: BTreeMap::new() });
        look.rooms.push(room(setup, client, *place, items));
    } else if look.todo.is_empty() {
        is_checked = true;
    } else {
        let (read, shard) = look.todo.remove(0);
        let item = world.scopes[places[read]].shards[&shard].clone();
        look.scopes[read].shards.insert(shard, item);
    }
    let needs_check = look.all
        && setup.fault != Some(Fault::PagedReadAsOneMoment)
        && look.scopes.iter().any(|items| !items.own.shards.is_empty());
    world.clients[number].phase = if look.scopes.len() < places.len() || !look.todo.is_empty() {
        Phase::Look(look)
    } else if is_checked && look.changed {
        Phase::Look(Look { all: true, ..Look::default() })
    } else if needs_check && !is_checked {
        Phase::Look(look)
    } else {
        judge(setup, world, number, &look);
        return;
    };
}

/// The shards that must be read.
fn wanted(setup: &Setup, number: usize, place: usize, items: &ScopeItems, all: bool) -> BTreeSet<u16> {
    let spread = spread(&setup.limits[place], items.own.spread);
    let known = |shard: &u16| items.own.shards.contains_key(shard);
    let mine = candidates(setup.holder(number).spot());
    let mine = mine.filter(|shard| *shard < spread && spread > 1 || known(shard));
    let marked = items.own.shards.keys().copied().filter(|_| all);
    mine.chain(marked).collect()
}

/// The amount that is really left. It is computed here in another way than in the judgment.
fn room(setup: &Setup, client: &Client, place: usize, items: &ScopeItems) -> Room {
    let (limit, spent, held) = (&setup.limits[place], settled(items), holds(items));
    let seen = if place == 0 { client.seen } else { 0 };
    Room(PerUnit::from_fn(|unit| {
        let seen = if unit == Unit::Output { u128::from(seen) } else { 0 };
        Some(limit.limits.get(unit)?.saturating_sub(spent.get(unit).max(seen)).saturating_sub(held.get(unit)))
    }))
}

/// Decides by the items that were read.
fn judge(setup: &Setup, world: &mut World, number: usize, look: &Look) {
    let client = &mut world.clients[number];
    let ask = setup.ask(number, client);
    let mut attempt = setup.attempt(&ask, number, client);
    let step = after(setup, &mut attempt, look);
    client.max_tokens = attempt.max_tokens;
    client.places = attempt.places.iter().map(|place| place.shard).collect();
    client.phase = match step {
        Step::Done(Admission::Approved { reservation: found, .. }) => {
            client.since = (0..=world.clock).find(|tick| at(*tick) == found.held_at).unwrap();
            client.max_tokens = found.max_tokens;
            client.places = found.scopes.iter().map(|scope| scope.shard).collect();
            client.found = true;
            let ask = setup.ask(number, client);
            assert_eq!(setup.attempt(&ask, number, client).reservation(), found);
            if setup.burst { Phase::Over(End::Admitted) } else { Phase::Model }
        }
        Step::Done(Admission::Duplicate(_)) => Phase::Over(End::Duplicate),
        Step::Done(Admission::Denied { shortage, budget, .. }) => {
            let denial = denial(&ask, look, &shortage, &budget);
            if client.uncertain {
                giving_up::start(setup, world, number, Some(denial));
                return;
            }
            Phase::Deny(denial)
        }
        Step::LookAtAll => Phase::Look(Look { all: true, ..Look::default() }),
        Step::GivenUp => {
            giving_up::start(setup, world, number, None);
            return;
        }
        Step::Again(changes) if changes.is_empty() => Phase::Write,
        Step::Again(changes) => Phase::Change(changes),
    };
}

/// The next step after a read. A protocol that has forgotten its hold does not find it either.
fn after(setup: &Setup, attempt: &mut Attempt<'_>, look: &Look) -> Step {
    let at_once = match setup.fault {
        Some(Fault::HoldForgottenOnDeny) => true,
        Some(Fault::PagedReadAsOneMoment) => look.all,
        _ => false,
    };
    if at_once {
        let places = attempt.places.iter().zip(&look.scopes);
        let standings: Vec<Standing<'_>> =
            places.map(|(place, items)| Standing { budget: place.budget, figures: items.figures() }).collect();
        if let Verdict::Denied(shortage) = attempt.ask.judge(&standings, attempt.now.timestamp_millis()) {
            let entry = |standing: &Standing<'_>| standing.figures.entry(standing.budget.limit, standing.budget.seen);
            return Step::Done(Admission::Denied {
                shortage,
                budget: standings.iter().map(entry).collect(),
                alerts: vec![],
            });
        }
    }
    match attempt.after(&look.scopes) {
        Step::Again(changes) => {
            let changes =
                changes.into_iter().map(|together| together.into_iter().map(|each| refund(setup, each)).collect());
            Step::Again(changes.collect())
        }
        done => done,
    }
}

/// Makes the first of the changes that the step asked for.
pub fn change(setup: &Setup, world: &mut World, number: usize) {
    let Phase::Change(mut changes) = world.clients[number].phase.clone() else { return };
    let first = changes.remove(0);
    world.make(setup, &first, By::Other);
    world.clients[number].phase = if changes.is_empty() { Phase::Write } else { Phase::Change(changes) };
}

/// The denial, with the figures that were read and the state of the tables when the own item was read.
fn denial(ask: &Ask<'_>, look: &Look, shortage: &Shortage, budget: &[BudgetEntry]) -> Denial {
    let Shortage { unit, needed, remaining, retry_after_seconds, .. } = *shortage;
    let place = ask.budgets.iter().position(|budget| *budget.limit == *shortage.limit).unwrap();
    let (limit, seen, items) = (ask.budgets[place].limit, ask.budgets[place].seen, &look.scopes[place]);
    let entry = &budget[place];
    let reported = match unit {
        Unit::Input => entry.input.map(|room| room.remaining),
        Unit::Output => entry.output.map(|room| room.remaining),
        Unit::Requests => entry.requests.map(|room| room.remaining),
        Unit::InFlight => entry.in_flight.map(|room| room.remaining),
        Unit::Usd => None,
    };
    let (spent, held) = (settled(items).get(unit), holds(items).get(unit));
    let most = limit.limits.get(unit).unwrap();
    let without_holds = most.saturating_sub(spent.max(seen.get(unit)));
    Denial {
        needed,
        judged: remaining,
        reported: reported.unwrap().into(),
        really: look.rooms[place].0.get(unit).unwrap(),
        retry: [retry_after_seconds.is_some(), needed <= without_holds && without_holds > 0],
        by_cloudwatch: needed <= most.saturating_sub(spent + held),
        several_reads: look.scopes.iter().any(|items| !items.shards.is_empty()),
    }
}

/// The phase in which an undisturbed reserve ends. `None` if it comes to no decision.
fn alone(setup: &Setup, world: &World, number: usize) -> Option<Phase> {
    let mut world = world.clone();
    for _ in 0..ROUNDS {
        if world.clients[number].phase == Phase::Write {
            write(setup, &mut world, number);
        }
        let mut rounds = 0;
        while let Phase::Look(before) = &world.clients[number].phase
            && rounds < ROUNDS
        {
            let all = before.all;
            look(setup, &mut world, number);
            // Each round has one look.
            let is_next = matches!(&world.clients[number].phase, Phase::Look(after) if after.all && !all);
            if is_next {
                break;
            }
            rounds += 1;
        }
        while matches!(world.clients[number].phase, Phase::Change(_)) {
            change(setup, &mut world, number);
        }
        if !matches!(world.clients[number].phase, Phase::Write | Phase::Look(_)) {
            return Some(world.clients[number].phase.clone());
        }
    }
    None
}

/// `true` if an undisturbed reserve comes to a decision.
pub fn decides_alone(setup: &Setup, world: &World, number: usize) -> bool {
    alone(setup, world, number).is_some()
}

/// `true` if the only client is admitted.
pub fn admitted_alone(setup: &Setup, world: &World) -> bool {
    alone(setup, world, 0) == Some(Phase::Model)
}
