//! What must always hold.

use sentry_domain::{Amount, Unit};
use sentry_ledger::item::signed;
use stateright::Property;

use crate::happenings::{self, denials};
use crate::reserve;
use crate::setup::{OWNERS, Request, Setup};
use crate::world::{Client, End, Phase, World, holds, settled};

pub const LIMIT: &str = "settled and held never pass a limit";
pub const BOOKS: &str = "a counter of holds is the sum of the holds";
pub const LOST: &str = "nothing that was spent is missing";
pub const ONCE: &str = "a hold is settled once";
pub const FELL: &str = "what is settled stays settled";
pub const AFTERWARDS: &str = "afterwards nothing is held and all capacity can be used";
pub const REFUSED: &str = "whoever is refused holds nothing";
pub const ONE_HOLD: &str = "a request holds once";
pub const ONE_RUN: &str = "a request is run once";
pub const REASON: &str = "nobody is refused where there is room";
pub const REPORTED: &str = "the figure that decides is reported";
pub const CLOUDWATCH: &str = "what CloudWatch has shown counts";
pub const ALONE: &str = "a reserve that nobody disturbs comes to a decision";
pub const ADMITTED: &str = "as many are admitted at once as fit, and no more";

/// The properties that apply to `setup`.
pub fn all(setup: &Setup) -> Vec<Property<Setup>> {
    let mut all = vec![
        Property::always(LIMIT, limit_holds),
        Property::always(BOOKS, books_balance),
        Property::always(LOST, nothing_lost),
        Property::always(ONCE, |_, world: &World| {
            world.scopes.iter().zip(&world.expected).all(|(items, expected)| settled(items) == *expected)
        }),
        Property::always(FELL, |_, world: &World| !world.fell),
        Property::always(ONE_RUN, one_run),
        Property::always(REASON, |_, world: &World| {
            denials(world).all(|denial| denial.needed > denial.really || denial.really == 0)
        }),
        Property::always(REPORTED, |_, world: &World| {
            denials(world).all(|denial| denial.judged == denial.reported && denial.retry[0] == denial.retry[1])
        }),
        Property::always(CLOUDWATCH, |_, world: &World| !world.overdrawn),
        Property::always(AFTERWARDS, afterwards),
        Property::always(ALONE, |setup: &Setup, world: &World| {
            let waits = |client: &Client| matches!(client.phase, Phase::Write | Phase::Look);
            let numbers = (0..world.clients.len()).filter(|number| waits(&world.clients[*number]));
            numbers.into_iter().all(|number| reserve::decides_alone(setup, world, number))
        }),
    ];
    // A write that arrives after its execution was refused or has ended is a hold that nobody knows: it expires, and is charged.
    if setup.late == 0 {
        all.push(Property::always(REFUSED, refused_hold_nothing));
        all.push(Property::always(ONE_HOLD, one_hold));
    }
    if setup.burst {
        all.push(Property::always(ADMITTED, as_many_as_fit));
    }
    if setup.fault.is_none() {
        all.extend(happenings::all(setup));
    }
    all
}

/// What the requests under the sentry really used.
fn spent(setup: &Setup, world: &World) -> Amount {
    let clients = world.clients.iter().enumerate();
    clients.filter_map(|(number, client)| Some(setup.used(number, client.spent?))).sum()
}

fn limit_holds(setup: &Setup, world: &World) -> bool {
    let spent = spent(setup, world);
    setup.limits.iter().zip(&world.scopes).all(|(limit, items)| {
        let committed = settled(items) + holds(items);
        limit.limits.iter().all(|(unit, most)| {
            items.own.committed().get(unit) <= most && committed.get(unit) <= most && spent.get(unit) <= most
        })
    })
}

fn books_balance(setup: &Setup, world: &World) -> bool {
    setup.limits.iter().zip(&world.scopes).all(|(limit, items)| {
        let of = |holds: &std::collections::BTreeMap<String, sentry_ledger::item::Hold>| {
            holds.values().map(|hold| hold.amount).sum::<Amount>()
        };
        let shards = items.shards.values().all(|shard| shard.held == of(&shard.holds));
        shards
            && Unit::ALL.into_iter().enumerate().filter(|(_, unit)| limit.limits.get(*unit).is_some()).all(
                |(place, _)| {
                    let leased = |shard: &sentry_ledger::item::Item| {
                        shard.free[place] + signed(&shard.held)[place] + signed(&shard.settled)[place]
                    };
                    let leases: i128 = items.shards.values().map(leased).sum();
                    let in_bounds = items.shards.values().all(|shard| shard.free[place] >= 0);
                    in_bounds && signed(&items.own.held)[place] == signed(&of(&items.own.holds))[place] + leases
                },
            )
    })
}

fn nothing_lost(setup: &Setup, world: &World) -> bool {
    let spent = spent(setup, world);
    world.scopes.iter().all(|items| {
        let committed = settled(items) + holds(items);
        Unit::ALL.into_iter().all(|unit| spent.get(unit) <= committed.get(unit))
    })
}

fn one_run(setup: &Setup, world: &World) -> bool {
    let runs = |id: &str| {
        let requests = setup.requests.iter().zip(&world.clients).filter(|(request, _)| request.id == id);
        requests
            .filter(|(_, client)| client.phase == Phase::Model || client.spent.is_some_and(|spent| spent > 0))
            .count()
    };
    setup.requests.iter().all(|request| runs(request.id) <= 1)
}

fn one_hold(setup: &Setup, world: &World) -> bool {
    let once = |id: &str| {
        let held = |items: &sentry_ledger::steps::ScopeItems| {
            items.iter().filter(|(_, item)| item.holds.contains_key(id)).count()
        };
        world.scopes.iter().all(|items| held(items) <= 1)
    };
    world.clients.iter().all(|client| client.takes <= 1) && setup.requests.iter().all(|request| once(request.id))
}

fn refused_hold_nothing(_: &Setup, world: &World) -> bool {
    world.clients.iter().zip(OWNERS).all(|(client, owner)| {
        let refused =
            matches!(client.phase, Phase::Deny(_) | Phase::Over(End::Denied(_) | End::Duplicate | End::Unavailable));
        let holds =
            |(_, item): (Option<u8>, &sentry_ledger::item::Item)| item.holds.values().any(|hold| hold.owner == owner);
        !refused || !world.scopes.iter().any(|items| items.iter().any(holds))
    })
}

/// Whether nothing more can happen.
fn is_over(setup: &Setup, world: &World) -> bool {
    let over = |client: &Client| matches!(client.phase, Phase::Over(_) | Phase::Idle);
    world.clients.iter().all(over)
        && world.clock == setup.last_tick
        && world.late.is_empty()
        && world.expired(setup).is_empty()
}

fn afterwards(setup: &Setup, world: &World) -> bool {
    if !is_over(setup, world) || setup.burst {
        return true;
    }
    if world
        .scopes
        .iter()
        .any(|items| holds(items) != Amount::ZERO || items.iter().any(|(_, item)| !item.holds.is_empty()))
    {
        return false;
    }
    let rest = |unit: Unit| {
        let scopes = setup.limits.iter().zip(&world.scopes).enumerate();
        let rests = scopes.filter_map(|(place, (limit, items))| {
            let seen = if place == 0 && unit == Unit::Output { u128::from(world.cloud) } else { 0 };
            Some(limit.limits.get(unit)?.saturating_sub(settled(items).get(unit).max(seen)))
        });
        rests.min().and_then(|rest| u64::try_from(rest).ok())
    };
    let (input, tokens) = (rest(Unit::Input).unwrap_or(0), rest(Unit::Output).unwrap_or(0));
    if tokens == 0 || rest(Unit::Input) == Some(0) {
        return true;
    }
    let request = Request { id: "rest", input, tokens: u32::try_from(tokens).unwrap(), given: true };
    let setup = Setup { requests: vec![request], ..setup.clone() };
    let shards = setup.limits.iter().map(|limit| (limit.shards > 1).then_some(0)).collect();
    let client = Client {
        phase: Phase::Write,
        born: world.clock,
        since: world.clock,
        seen: world.cloud,
        places: shards,
        max_tokens: request.tokens,
        spent: None,
        takes: 0,
        found: false,
        end: None,
    };
    reserve::admitted_alone(&setup, &World { clients: vec![client], ..world.clone() })
}

fn as_many_as_fit(setup: &Setup, world: &World) -> bool {
    let admitted = world.clients.iter().filter(|client| client.phase == Phase::Over(End::Admitted)).count();
    let room = |limit: &sentry_contract::states::ScopeLimit| {
        let each = setup.used(0, setup.requests[0].tokens);
        limit.limits.iter().map(|(unit, most)| most / each.get(unit).max(1)).min()
    };
    let fit = setup.limits.iter().filter_map(room).min().unwrap();
    let fit = usize::try_from(fit).unwrap().min(world.clients.len());
    let all_over = world.clients.iter().all(|client| matches!(client.phase, Phase::Over(_)));
    let undisturbed = world.crashes == setup.crashes;
    admitted <= fit && (admitted == fit || !all_over || !undisturbed)
}
