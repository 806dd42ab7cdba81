//! The steps of `Reserve`, in the order of `Ledger::reserve`; what each decides is the ledger's own code.

use sentry_domain::Unit;
use sentry_ledger::steps::{Attempt, ROUNDS, ScopeItems, Step};
use sentry_ledger::{Admission, Figures, Shortage};

use crate::faults::refund;
use crate::setup::{Fault, Setup, at};
use crate::world::{By, Changes, Client, Denial, End, Phase, World, holds, settled};

/// Notes the request.
pub fn register(setup: &Setup, world: &mut World, number: usize, places: Vec<Option<u8>>) {
    let id = setup.requests[number].id;
    let known = *world.records.entry(id).or_insert(number);
    let client = &mut world.clients[number];
    let before = matches!(client.phase, Phase::Register { again: true }) && known == number;
    let look = match setup.fault {
        Some(Fault::RepeatDoesNotLook) => false,
        Some(Fault::CheckThenWrite) => true,
        _ => before,
    };
    client.since = world.clock;
    client.places = places;
    client.max_tokens = setup.requests[number].tokens;
    client.phase = match known == number || setup.fault == Some(Fault::RecordNotChecked) {
        true if look => Phase::Look,
        true => Phase::Write,
        false => Phase::Over(End::Duplicate),
    };
}

/// The changes of the write, if it is worth trying.
pub fn changes(setup: &Setup, client: &Client, number: usize) -> Option<Changes> {
    let ask = setup.ask(number, client.seen);
    let mut changes = setup.attempt(&ask, number, client).changes();
    if setup.fault == Some(Fault::CheckThenWrite) {
        for (_, change) in changes.iter_mut().flatten() {
            if let sentry_ledger::change::Change::Take { bounds, .. } = change {
                *bounds = sentry_ledger::change::Bounds::default();
            }
        }
    }
    changes
}

/// Tries to write.
pub fn write(setup: &Setup, world: &mut World, number: usize) {
    let done = changes(setup, &world.clients[number], number).is_some_and(|changes| match setup.fault {
        Some(Fault::HoldForgottenOnDeny) => changes.chunks(1).all(|change| world.make(setup, change, By::Owner)),
        _ => world.make(setup, &changes, By::Owner),
    });
    world.clients[number].phase = match done {
        true if setup.burst => Phase::Over(End::Admitted),
        true => Phase::Model,
        false => Phase::Look,
    };
}

/// Reads every scope and goes by what it says.
pub fn look(setup: &Setup, world: &mut World, number: usize) {
    let client = &mut world.clients[number];
    let ask = setup.ask(number, client.seen);
    let mut attempt = setup.attempt(&ask, number, client);
    let step = after(setup, &mut attempt, &world.scopes);
    (client.max_tokens, client.places) = (attempt.max_tokens, attempt.places);
    client.phase = match step {
        Step::Done(Admission::Approved(found)) => {
            client.since = (0..=world.clock).find(|tick| at(*tick) == found.held_at).unwrap();
            client.max_tokens = found.max_tokens;
            client.places = found.scopes.iter().map(|scope| scope.shard).collect();
            client.found = true;
            let ask = setup.ask(number, client.seen);
            assert_eq!(setup.attempt(&ask, number, client).reservation(), found);
            if setup.burst { Phase::Over(End::Admitted) } else { Phase::Model }
        }
        Step::Done(Admission::Duplicate) => Phase::Over(End::Duplicate),
        Step::Done(Admission::Denied { shortage, figures }) => {
            let seen = client.seen;
            let denial = denial(setup, number, seen, &shortage, &figures, &world.scopes);
            Phase::Deny(denial)
        }
        Step::Again(changes) if changes.is_empty() => Phase::Write,
        Step::Again(changes) => Phase::Change(changes),
    };
}

/// What follows from a look; a protocol that has forgotten its hold does not find it either.
fn after(setup: &Setup, attempt: &mut Attempt<'_>, scopes: &[ScopeItems]) -> Step {
    if setup.fault == Some(Fault::HoldForgottenOnDeny) {
        let figures: Vec<Figures> = scopes.iter().map(ScopeItems::figures).collect();
        if let sentry_ledger::admission::Verdict::Denied(shortage) =
            attempt.ask.judge(&figures, attempt.now.timestamp_millis())
        {
            return Step::Done(Admission::Denied { shortage, figures });
        }
    }
    match attempt.after(scopes) {
        Step::Again(changes) => {
            let changes =
                changes.into_iter().map(|together| together.into_iter().map(|each| refund(setup, each)).collect());
            Step::Again(changes.collect())
        }
        done => done,
    }
}

/// Makes the first of the changes that the look has asked for.
pub fn change(setup: &Setup, world: &mut World, number: usize) {
    let Phase::Change(mut changes) = world.clients[number].phase.clone() else { return };
    let first = changes.remove(0);
    world.make(setup, &first, By::Other);
    world.clients[number].phase = if changes.is_empty() { Phase::Write } else { Phase::Change(changes) };
}

/// The denial beside the tables, which are summed up here in another way than by the judge.
fn denial(
    setup: &Setup,
    number: usize,
    seen: u64,
    shortage: &Shortage,
    figures: &[Figures],
    scopes: &[ScopeItems],
) -> Denial {
    let Shortage { place, unit, needed, remaining, retry_after_seconds, .. } = *shortage;
    let ask = setup.ask(number, seen);
    let (limit, seen) = (&setup.limits[place], ask.seen_of(place));
    let entry = figures[place].entry(limit, seen);
    let reported = match unit {
        Unit::Input => entry.input.map(|room| room.remaining),
        _ => entry.output.map(|room| room.remaining),
    };
    let (spent, held) = (settled(&scopes[place]).get(unit), holds(&scopes[place]).get(unit));
    let most = limit.limits.get(unit).unwrap();
    let without_holds = most.saturating_sub(spent.max(seen.get(unit)));
    Denial {
        needed,
        judged: remaining,
        reported: reported.unwrap().into(),
        really: without_holds.saturating_sub(held),
        retry: [retry_after_seconds.is_some(), needed <= without_holds && without_holds > 0],
        by_cloudwatch: needed <= most.saturating_sub(spent + held),
    }
}

/// How a reserve that nobody disturbs ends, if it comes to a decision.
fn alone(setup: &Setup, world: &World, number: usize) -> Option<Phase> {
    let mut world = world.clone();
    for _ in 0..ROUNDS {
        if world.clients[number].phase == Phase::Write {
            write(setup, &mut world, number);
        }
        if world.clients[number].phase == Phase::Look {
            look(setup, &mut world, number);
        }
        while matches!(world.clients[number].phase, Phase::Change(_)) {
            change(setup, &mut world, number);
        }
        if world.clients[number].phase != Phase::Write {
            return Some(world.clients[number].phase.clone());
        }
    }
    None
}

/// Whether a reserve that nobody disturbs comes to a decision.
pub fn decides_alone(setup: &Setup, world: &World, number: usize) -> bool {
    alone(setup, world, number).is_some()
}

/// Whether the only client is admitted.
pub fn admitted_alone(setup: &Setup, world: &World) -> bool {
    alone(setup, world, 0) == Some(Phase::Model)
}
