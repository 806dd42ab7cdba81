//! Properties that must always hold.

use sentry_domain::{Amount, PerUnit, ScopeLimit, Unit};
use sentry_ledger::item::Item;
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
pub const REFUSED: &str = "whoever is denied or has canceled holds nothing";
pub const UNMARKED: &str = "a shard without a mark holds nothing and has nothing to hand over";
pub const INDEX: &str = "the sweep finds whatever holds something or may be drawn from";
pub const IN_TIME: &str = "the sweep comes as soon as a hold has expired";
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
        Property::always(REFUSED, refused_hold_nothing),
        Property::always(UNMARKED, unmarked_are_empty),
        Property::always(INDEX, |_, world: &World| {
            let mut items = world.scopes.iter().flat_map(sentry_ledger::steps::ScopeItems::iter);
            items.all(|(_, item)| item.sweep_at_ms.is_some() || item.holds.is_empty() && !item.is_open())
        }),
        Property::always(IN_TIME, |_, world: &World| {
            let mut items = world.scopes.iter().flat_map(sentry_ledger::steps::ScopeItems::iter);
            items.all(|(_, item)| {
                item.holds.values().all(|hold| item.sweep_at_ms.is_none_or(|at_ms| at_ms <= hold.expires_ms))
            })
        }),
        Property::always(ALONE, |setup: &Setup, world: &World| {
            let waits = |client: &Client| matches!(client.phase, Phase::Write | Phase::Look(_));
            let numbers = (0..world.clients.len()).filter(|number| waits(&world.clients[*number]));
            numbers.into_iter().all(|number| reserve::decides_alone(setup, world, number))
        }),
    ];
    // A late write can arrive after another attempt of its execution has taken a hold elsewhere. Its hold then belongs
    // to nobody.
    if setup.late == 0 {
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

/// The real usage of the requests under the sentry to which a limit applies.
fn spent(setup: &Setup, world: &World, place: usize) -> Amount {
    let clients = world.clients.iter().enumerate();
    let counted = clients.filter(|(_, client)| setup.limits_at(client.born).any(|applies| applies == place));
    counted.filter_map(|(number, client)| Some(setup.used(number, client.spent?))).sum()
}

fn limit_holds(setup: &Setup, world: &World) -> bool {
    setup.limits.iter().zip(&world.scopes).enumerate().all(|(place, (limit, items))| {
        let (committed, spent) = (settled(items) + holds(items), spent(setup, world, place));
        limit.limits.iter().all(|(unit, most)| {
            items.own.committed().get(unit) <= most && committed.get(unit) <= most && spent.get(unit) <= most
        })
    })
}

fn books_balance(setup: &Setup, world: &World) -> bool {
    setup.limits.iter().zip(&world.scopes).all(|(limit, items)| {
        let of = |item: &Item| item.holds.values().map(|hold| hold.amount).sum::<Amount>();
        let leased = |shard: &Item| shard.free + shard.held.signed() + shard.settled.signed();
        let leases = items.shards.values().map(leased).fold(PerUnit::default(), |sum, lease| sum + lease);
        let in_bounds = |shard: &Item| limit.limits.iter().all(|(unit, _)| *shard.free.get(unit) >= 0);
        items.shards.values().all(|shard| shard.held == of(shard) && in_bounds(shard))
            && items.own.held.signed() == of(&items.own).signed() + leases
    })
}

fn nothing_lost(setup: &Setup, world: &World) -> bool {
    world.scopes.iter().enumerate().all(|(place, items)| {
        let (committed, spent) = (settled(items) + holds(items), spent(setup, world, place));
        Unit::ALL.into_iter().all(|unit| spent.get(unit) <= committed.get(unit))
    })
}

fn unmarked_are_empty(_: &Setup, world: &World) -> bool {
    let is_empty = |shard: &Item| {
        shard.holds.is_empty() && !shard.is_open() && shard.free == PerUnit::default() && shard.settled == Amount::ZERO
    };
    let unmarked = world.scopes.iter().flat_map(|items| {
        items.shards.iter().filter(|(number, _)| !items.own.shards.contains_key(number)).map(|(_, shard)| shard)
    });
    unmarked.into_iter().all(is_empty)
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
    let once = |number: usize| {
        let held = |items: &sentry_ledger::steps::ScopeItems| {
            items.iter().filter(|(_, item)| item.holds.contains_key(setup.owner(number))).count()
        };
        world.scopes.iter().all(|items| held(items) <= 1)
    };
    // With several windows, an execution takes one hold in each of them.
    world.clients.iter().all(|client| client.takes <= 1) && (0..setup.requests.len()).all(once)
}

fn refused_hold_nothing(setup: &Setup, world: &World) -> bool {
    world.clients.iter().enumerate().all(|(number, client)| {
        let refused =
            matches!(client.phase, Phase::Deny(_) | Phase::Over(End::Denied(_) | End::Duplicate | End::Unavailable));
        let holds = |(_, item): (Option<u16>, &Item)| item.holds.contains_key(setup.owner(number));
        !refused || !world.scopes.iter().any(|items| items.iter().any(holds))
    })
}

/// `true` if nothing more can happen.
fn is_over(setup: &Setup, world: &World) -> bool {
    let over = |client: &Client| matches!(client.phase, Phase::Over(_) | Phase::Idle);
    let is_swept = |item: &Item| item.holds.is_empty() || item.sweep_at_ms.is_none();
    world.clients.iter().all(over)
        && world.clock == setup.last_tick
        && world.late.is_empty()
        && world.sweeping.is_none()
        && world.due().next().is_none()
        && world.scopes.iter().all(|items| items.iter().all(|(_, item)| is_swept(item)))
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
        let rests = setup.limits_at(world.clock).filter_map(|place| {
            let seen = if place == 0 && unit == Unit::Output { u128::from(world.cloud) } else { 0 };
            let (most, used) = (setup.limits[place].limits.get(unit)?, settled(&world.scopes[place]).get(unit));
            Some(most.saturating_sub(used.max(seen)))
        });
        rests.min().and_then(|rest| u64::try_from(rest).ok())
    };
    if Unit::ALL.into_iter().any(|unit| rest(unit) == Some(0)) {
        return true;
    }
    let (input, tokens) = (rest(Unit::Input).unwrap_or(0), rest(Unit::Output).unwrap_or(1));
    let request = Request { id: "rest", input, tokens: u32::try_from(tokens).unwrap(), given: true };
    let setup = Setup { requests: vec![request], executions: (OWNERS.len() - 1, 1), ..setup.clone() };
    let client = Client {
        phase: Phase::Write,
        born: world.clock,
        since: world.clock,
        seen: world.cloud,
        places: setup.places(0, world.clock, &world.scopes).pop().unwrap(),
        ..Client::new(request.tokens)
    };
    reserve::admitted_alone(&setup, &World { clients: vec![client], ..world.clone() })
}

fn as_many_as_fit(setup: &Setup, world: &World) -> bool {
    let admitted = world.clients.iter().filter(|client| client.phase == Phase::Over(End::Admitted)).count();
    let room = |limit: &ScopeLimit| {
        let each = setup.ask(0, &Client::new(0)).hold(setup.requests[0].tokens);
        limit.limits.iter().map(|(unit, most)| most / each.get(unit).max(1)).min()
    };
    let fit = setup.limits.iter().filter_map(room).min().unwrap();
    let fit = usize::try_from(fit).unwrap().min(world.clients.len());
    let all_over = world.clients.iter().all(|client| matches!(client.phase, Phase::Over(_)));
    let undisturbed = world.crashes == setup.crashes;
    admitted <= fit && (admitted == fit || !all_over || !undisturbed)
}
