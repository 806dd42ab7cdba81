//! The steps that give up a reservation: `Ledger::cancel`, and the end of a `Ledger::reserve` that denies while one of
//! its writes may still be on its way.

use sentry_ledger::steps::{Key, barring, cancellation, places_of};

use crate::setup::{Fault, Setup, at};
use crate::world::{By, Changes, Denial, End, GivingUp, Phase, World};

/// Starts to give up the reservation of an execution.
pub fn start(setup: &Setup, world: &mut World, number: usize, denial: Option<Denial>) {
    let client = &mut world.clients[number];
    let bars = setup.limits_at(client.born).map(|place| (place, None)).collect();
    client.phase = Phase::GivingUp(GivingUp { bars, changes: vec![], denial });
}

/// Bars the execution from one more item. The answer shows the hold that it has there.
pub fn bar(setup: &Setup, world: &mut World, number: usize) {
    let Phase::GivingUp(mut giving_up) = world.clients[number].phase.clone() else { return };
    let holder = setup.holder(number);
    let (place, shard) = giving_up.bars.remove(0);
    let limit = &setup.limits[place];
    let key = Key::of(limit, shard);
    if setup.fault != Some(Fault::NoBar) {
        world.make(setup, &[(key.clone(), barring(holder, limit, at(world.clock)))], By::Owner);
    }
    let items = &world.scopes[place];
    let item = shard.map_or(&items.own, |shard| &items.shards[&shard]);
    if shard.is_none() {
        let shards = places_of(holder, limit, item, at(world.clock)).filter(|shard| items.shards.contains_key(shard));
        giving_up.bars.splice(0..0, shards.map(|shard| (place, Some(shard))));
    }
    let keeps = giving_up.denial.is_some() && setup.fault == Some(Fault::DenialGivesNothingBack);
    giving_up.changes.extend(cancellation(holder, &key, item).filter(|_| !keeps).map(|change| (key, change)));
    world.clients[number].phase = Phase::GivingUp(giving_up);
}

/// The next hold to give back.
pub fn next(world: &World, number: usize) -> Option<Changes> {
    let Phase::GivingUp(giving_up) = &world.clients[number].phase else { return None };
    giving_up.changes.first().map(|change| vec![change.clone()])
}

/// Records that the next hold was given back. If none is left, gives up the request, which this execution then cannot
/// register again.
pub fn end(setup: &Setup, world: &mut World, number: usize) {
    let Phase::GivingUp(giving_up) = &mut world.clients[number].phase else { return };
    if !giving_up.changes.is_empty() {
        giving_up.changes.remove(0);
        return;
    }
    let end = giving_up.denial.take().map_or(End::Unavailable, End::Denied);
    let record = world.records.entry(setup.requests[number].id).or_insert((number, true));
    if record.0 == number {
        record.1 = true;
    }
    world.clients[number].phase = Phase::Over(end);
}
