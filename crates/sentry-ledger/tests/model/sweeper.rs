//! The steps of `Sweep`, in the order of `Ledger::sweep`. It sees only the items in its index.

use sentry_ledger::change::Change;
use sentry_ledger::steps::{Key, next_look, returned};

use crate::action::Action;
use crate::setup::{Fault, Setup};
use crate::world::{By, Changes, World};

/// The next steps that the sweeper can take.
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

/// The next write of a sweep of the item. It gives back a lease that was not renewed, or hands over the settled usage
/// of a closed shard. After that, it sets the time of the next look.
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

pub fn write(setup: &Setup, world: &mut World) {
    let Some(changes) = world.sweeping.take() else { return };
    if setup.fault == Some(Fault::SweepForgets)
        && let [(key, Change::NextLook { next_ms: None, .. })] = &changes[..]
    {
        world.forget_sweep(setup, key);
        return;
    }
    world.make(setup, &changes, By::Sweeper);
}
