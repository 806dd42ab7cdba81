//! What must happen in some run, for it to mean anything that nothing goes wrong in any.

use sentry_contract::states::{Remedy, ScopeLimit};
use sentry_ledger::steps::ScopeItems;
use stateright::Property;

use crate::setup::{Request, Setup};
use crate::world::{By, Client, Denial, End, Phase, World};

/// What shows that the runs get to where it may go wrong.
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
    if setup.last_tick > 0 {
        all.push(Property::sometimes("the sweeper settles an expired hold", |_, world: &World| {
            some(world, |client| client.end == Some(By::Sweeper))
        }));
        all.push(Property::sometimes("a settlement comes after the expiry, before the sweeper", |_, world: &World| {
            some(world, |client| client.end == Some(By::OwnerLate))
        }));
        all.push(Property::sometimes("a settlement comes after the sweeper", |_, world: &World| {
            some(world, |client| client.end == Some(By::Sweeper) && client.phase == Phase::Over(End::Answered))
        }));
    }
    if setup.last_start >= setup.hold_ticks {
        all.push(Property::sometimes("a reserve settles an expired hold", |_, world: &World| {
            some(world, |client| client.end == Some(By::Other))
        }));
    }
    if setup.bypass.is_some() {
        all.push(Property::sometimes("CloudWatch alone is why somebody is denied", |_, world: &World| {
            denials(world).any(|denial| denial.by_cloudwatch)
        }));
    }
    if setup.limits.iter().any(|limit| limit.shards > 1) {
        all.push(Property::sometimes("a shard's lease is drawn from", |_, world: &World| {
            world.scopes.iter().any(|items| items.shards.values().any(|shard| !shard.holds.is_empty()))
        }));
    }
    let larger = |limit: &ScopeLimit| limit.shards > 1 && setup.requests.iter().any(|request| request.tokens > 1);
    if setup.limits.iter().any(larger) {
        all.push(Property::sometimes("a lease is called back", |_, world: &World| {
            let back = |items: &ScopeItems| {
                items
                    .shards
                    .values()
                    .any(|shard| shard.terms.is_some() && shard.free == [0; 3] && shard.holds.is_empty())
            };
            world.scopes.iter().any(back)
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

/// What was denied.
pub fn denials(world: &World) -> impl Iterator<Item = &Denial> {
    world.clients.iter().filter_map(|client| match &client.phase {
        Phase::Deny(denial) | Phase::Over(End::Denied(denial)) => Some(denial),
        _ => None,
    })
}
