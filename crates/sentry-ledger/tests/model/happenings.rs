//! Events that must happen in some run. Otherwise it would mean nothing that no run breaks a property.

use sentry_domain::{Remedy, ScopeLimit};
use sentry_ledger::item::Item;
use stateright::Property;

use crate::setup::{Outcome, Request, Setup};
use crate::world::{By, Client, Denial, End, Phase, World};

/// The events that show that the runs reach the critical states.
pub fn all(setup: &Setup) -> Vec<Property<Setup>> {
    fn some(world: &World, is: impl Fn(&Client) -> bool) -> bool {
        world.clients.iter().any(is)
    }
    let mut all = vec![];
    let wanted: u64 = setup.requests.iter().map(|request| u64::from(request.tokens)).sum();
    if setup.limits.iter().any(|limit| limit.limits.output.is_some_and(|most| most < wanted)) {
        all.push(Property::sometimes("somebody is denied", |_, world: &World| denials(world).next().is_some()));
    }
    let shared = setup.requests.iter().any(|one| setup.requests.iter().filter(|other| other.id == one.id).count() > 1);
    if shared {
        all.push(Property::sometimes("a duplicate is refused", |_, world: &World| {
            some(world, |client| client.phase == Phase::Over(End::Duplicate))
        }));
    }
    if setup.crashes > 0 {
        all.push(Property::sometimes("a repeat finds the hold whose answer was lost", |_, world: &World| {
            some(world, |client| client.found)
        }));
    }
    let unknown = setup.outcomes.iter().any(|outcome| matches!(outcome, Outcome::UnknownAll | Outcome::UnknownNothing));
    if setup.last_tick >= setup.hold_ticks && (unknown || setup.crashes > 0) {
        all.push(Property::sometimes("the sweeper settles an expired hold", |_, world: &World| {
            some(world, |client| client.end == Some(By::Sweeper))
        }));
    }
    let known = setup.outcomes.iter().any(|outcome| !matches!(outcome, Outcome::UnknownAll | Outcome::UnknownNothing));
    if setup.last_tick >= setup.hold_ticks && known {
        all.push(Property::sometimes("a settlement comes after the expiry, before the sweeper", |_, world: &World| {
            some(world, |client| client.end == Some(By::OwnerLate))
        }));
        all.push(Property::sometimes("a settlement comes after the sweeper", |_, world: &World| {
            some(world, |client| client.end == Some(By::Sweeper) && client.phase == Phase::Over(End::Answered))
        }));
    }
    if setup.last_start >= setup.hold_ticks && setup.crashes > 0 {
        all.push(Property::sometimes("a reserve settles an expired hold", |_, world: &World| {
            some(world, |client| client.end == Some(By::Other))
        }));
    }
    if setup.bypass.is_some() {
        all.push(Property::sometimes("CloudWatch alone is why somebody is denied", |_, world: &World| {
            denials(world).any(|denial| denial.by_cloudwatch)
        }));
    }
    if setup.limits.iter().any(|limit| setup.may_spread(limit)) {
        all.push(Property::sometimes("a shard's lease is drawn from", |_, world: &World| {
            shards(world).any(|shard| shard.is_open() && !shard.holds.is_empty())
        }));
    }
    let larger =
        |limit: &ScopeLimit| setup.may_spread(limit) && setup.requests.iter().any(|request| request.tokens > 1);
    if setup.limits.iter().any(larger) {
        all.push(Property::sometimes("a shard is closed that has a hold", |_, world: &World| {
            shards(world).any(|shard| !shard.is_open() && shard.terms.is_some() && !shard.holds.is_empty())
        }));
        all.push(Property::sometimes("a shard is closed and loses its mark", |_, world: &World| {
            world.scopes.iter().any(|items| {
                let is_closed =
                    |(number, shard): (&u16, &Item)| shard.terms.is_some() && !items.own.shards.contains_key(number);
                items.shards.iter().any(is_closed)
            })
        }));
    }
    if setup.late > 0 {
        all.push(Property::sometimes("an execution is barred that has a write under way", |_, world: &World| {
            let mut items = world.scopes.iter().flat_map(|items| items.iter().map(|(_, item)| item));
            items.any(|item| !item.barred.is_empty()) && !world.late.is_empty()
        }));
    }
    if setup.queue {
        all.push(Property::sometimes("the queue settles a hold", |_, world: &World| {
            some(world, |client| client.end == Some(By::Queue))
        }));
    }
    if setup.queue && setup.last_tick > 0 {
        all.push(Property::sometimes("the queue settles an expired hold", |_, world: &World| {
            some(world, |client| client.end == Some(By::QueueLate))
        }));
        all.push(Property::sometimes("the queue comes after the sweeper", |_, world: &World| {
            some(world, |client| client.end == Some(By::Sweeper) && matches!(client.phase, Phase::Queued { .. }))
        }));
    }
    let clamps = setup.limits.iter().any(|limit| limit.allows(Remedy::Clamp));
    if clamps || setup.requests.iter().any(|request| !request.given) {
        all.push(Property::sometimes("somebody gets fewer tokens than wanted", |setup: &Setup, world: &World| {
            let lowered =
                |(client, request): (&Client, &Request)| client.takes > 0 && client.max_tokens < request.tokens;
            world.clients.iter().zip(&setup.requests).any(lowered)
        }));
    }
    all
}

fn shards(world: &World) -> impl Iterator<Item = &Item> {
    world.scopes.iter().flat_map(|items| items.shards.values())
}

/// The denials of all executions.
pub fn denials(world: &World) -> impl Iterator<Item = &Denial> {
    world.clients.iter().filter_map(|client| match &client.phase {
        Phase::Deny(denial) | Phase::Over(End::Denied(denial)) => Some(denial),
        _ => None,
    })
}
