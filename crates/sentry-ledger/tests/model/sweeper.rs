//! The steps of `Sweep`, in the order of `Ledger::sweep`. It sees only what its index has.

use sentry_ledger::change::Change;
use sentry_ledger::steps::{Key, next_look, returned};

use crate::action::Action;
use crate::setup::{Fault, Setup};
use crate::world::{By, Changes, World};

/// What the sweeper can do next.
pub fn steps(setup: &Setup, world: &World, actions: &mut Vec<Action>) {
    if world.sweeping.is_some() {
        actions.push(Action::SweepWrite);
        return;
    }
    actions.extend((0..world.expired(setup).len()).map(Action::Sweep));
    let ready = world.due().filter(|(_, _, item)| item.expired(world.now_ms()).next().is_none());
    actions.extend(ready.map(|(place, shard, _)| Action::SweepLook(place, shard)));
}

/// Settles one of the expired holds.
pub fn settle(setup: &Setup, world: &mut World, number: usize) {
    let change = world.expired(setup).remove(number);
    world.make(setup, &[change], By::Sweeper);
}

/// Reads an item that has no expired holds any more.
pub fn look(setup: &Setup, world: &mut World, place: usize, shard: Option<u16>) {
    world.sweeping = changes(setup, world, place, shard);
    if !setup.slow_sweeper {
        while world.sweeping.is_some() {
            write(setup, world);
            world.sweeping = changes(setup, world, place, shard);
        }
    }
}

/// What a sweep of the item writes next: a lease is given back that was not renewed, what a closed shard has spent is handed over, and then it is
/// said when it comes again.
fn changes(setup: &Setup, world: &World, place: usize, shard: Option<u16>) -> Option<Changes> {
    let (limit, items) = (&setup.limits[place], &world.scopes[place]);
    let item = shard.map_or(&items.own, |shard| &items.shards[&shard]);
    if let Some(number) = shard
        && let Some(together) = returned(&Key::of(limit, None), &items.own, number, item, world.now_ms())
    {
        return Some(together);
    }
    next_look(item, world.now_ms()).map(|change| vec![(Key::of(limit, shard), change)])
}

/// Writes it.
pub fn write(setup: &Setup, world: &mut World) {
    let Some(changes) = world.sweeping.take() else { return };
    if setup.fault == Some(Fault::SweepForgets)
        && let [(key, Change::Swept { next_ms: None, .. })] = &changes[..]
    {
        world.forget_sweep(setup, key);
        return;
    }
    world.make(setup, &changes, By::Sweeper);
}
