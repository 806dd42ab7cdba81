//! The state of everything at one moment: the tables, the clock, CloudWatch, messages under way, and every execution.

use std::collections::BTreeMap;

use sentry_domain::{Amount, PerUnit, ScopeLimit};
use sentry_ledger::change::Change;
use sentry_ledger::item::Item;
use sentry_ledger::steps::{Key, ScopeItems};

use crate::faults::{again, refund};
use crate::setup::{SHARDS, Setup};

/// Changes in one transaction.
pub type Changes = Vec<(Key, Change)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub clock: u8,
    /// The ledger table, by limit.
    pub scopes: Vec<ScopeItems>,
    /// The requests table: the execution that has a request, and `true` if it has given the request up.
    pub records: BTreeMap<&'static str, (usize, bool)>,
    pub clients: Vec<Client>,
    /// Tokens that bypassed the sentry.
    pub bypass: u64,
    /// Tokens that CloudWatch shows.
    pub cloud: u64,
    /// Writes that are still under way.
    pub late: Vec<Changes>,
    /// The number of crashes that may still happen.
    pub crashes: u8,
    /// The number of writes that may still be late.
    pub delays: u8,
    /// The number of times that the number of shards may still change.
    pub spreads: u8,
    /// The first leases of new shards, which the execution that spread a scope is about to make.
    pub opening: Vec<Changes>,
    /// The next write of the sweeper.
    pub sweeping: Option<Changes>,
    /// The expected settled amount of each scope: the sum of its settlements.
    pub expected: Vec<Amount>,
    /// `true` if the settled amount of a scope ever decreased.
    pub fell: bool,
    /// `true` if a hold was taken although usage seen by CloudWatch left no room for it.
    pub overdrawn: bool,
}

/// One execution of the workflow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub phase: Phase,
    /// The tick at which the execution started.
    pub born: u8,
    /// The tick at which its reserve function started, and later the tick at which the hold was taken.
    pub since: u8,
    /// Tokens that CloudWatch showed when the execution started.
    pub seen: u64,
    /// `true` if one of its writes may have happened, or may still happen, without its knowledge.
    pub uncertain: bool,
    /// The shard to hold in, for each of its limits.
    pub places: Vec<Option<u16>>,
    pub max_tokens: u32,
    /// Tokens that the model really wrote. `None` until the model was called.
    pub spent: Option<u32>,
    /// The number of holds that it took in the first scope.
    pub takes: u8,
    /// `true` if a repeated reserve found the hold.
    pub found: bool,
    /// The end of its hold in the first scope.
    pub end: Option<By>,
}

/// The party that makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    Owner,
    OwnerLate,
    Sweeper,
    /// The reserve of another request.
    Other,
    Queue,
    QueueLate,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Idle,
    Register {
        again: bool,
    },
    Write,
    Look(Look),
    Change(Vec<Changes>),
    Deny(Denial),
    Model,
    Settle {
        actual: u32,
        done: u8,
    },
    /// The queue delivers the settlement `left` more times.
    Queued {
        actual: u32,
        done: u8,
        left: u8,
    },
    GivingUp(GivingUp),
    Over(End),
}

/// The items that a reserve has read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Look {
    /// `true` if all shards are read, and not only those in which its hold can be.
    pub all: bool,
    pub scopes: Vec<ScopeItems>,
    /// The items that are still to be read: the position of the limit, and the shard.
    pub todo: Vec<(usize, u16)>,
    /// The room that each scope really had when its own item was read.
    pub rooms: Vec<Room>,
    /// `true` if a lease was changed since then.
    pub changed: bool,
}

/// The room that is left under a limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Room(pub PerUnit<Option<u128>>);

/// An execution that is barred from taking a hold, and gives back the hold that it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GivingUp {
    /// The items that it is still to be barred from: positions of limits, and shards.
    pub bars: Vec<(usize, Option<u16>)>,
    /// The holds to give back.
    pub changes: Changes,
    /// The denial that follows if `Reserve` gives up. `None` if the workflow cancels.
    pub denial: Option<Denial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    Admitted,
    Answered,
    /// The outcome of the model call is unknown.
    Unknown,
    Denied(Denial),
    Duplicate,
    /// The ledger could not be asked. Nothing is held.
    Unavailable,
    Died,
}

/// A denial, and the state of the tables for comparison.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denial {
    pub needed: u128,
    /// The amount left according to the judgment.
    pub judged: u128,
    /// The amount left that the answer shows.
    pub reported: u128,
    /// The amount that was really left when the scope's own item was read: the limit minus usage and holds.
    pub really: u128,
    /// First: `true` if the client is told to try again. Second: `true` if that makes sense.
    pub retry: [bool; 2],
    /// `true` if the request would have fitted by the ledger's figures alone.
    pub by_cloudwatch: bool,
    /// `true` if shards were read.
    pub several_reads: bool,
}

impl Client {
    pub const fn new(tokens: u32) -> Self {
        Self {
            phase: Phase::Idle,
            born: 0,
            since: 0,
            seen: 0,
            uncertain: false,
            places: vec![],
            max_tokens: tokens,
            spent: None,
            takes: 0,
            found: false,
            end: None,
        }
    }
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        let items = |shards: u16| ScopeItems {
            own: Item::default(),
            shards: (0..shards).map(|shard| (shard, Item::default())).collect(),
        };
        let shards = |limit| if setup.may_spread(limit) { SHARDS } else { 0 };
        Self {
            clock: 0,
            scopes: setup.limits.iter().map(|limit| items(shards(limit))).collect(),
            records: BTreeMap::new(),
            clients: setup.requests.iter().map(|request| Client::new(request.tokens)).collect(),
            bypass: 0,
            cloud: 0,
            late: vec![],
            crashes: setup.crashes,
            delays: setup.late,
            spreads: setup.spreads,
            opening: vec![],
            sweeping: None,
            expected: vec![Amount::ZERO; setup.limits.len()],
            fell: false,
            overdrawn: false,
        }
    }

    /// Makes all changes or none, and records them. Returns `true` if they happened.
    pub fn make(&mut self, setup: &Setup, changes: &[(Key, Change)], by: By) -> bool {
        let mut scopes = self.scopes.clone();
        let mut expected = self.expected.clone();
        for (key, change) in changes {
            let (place, shard) = find(setup, key);
            let items = &mut scopes[place];
            let item = shard.map_or(&mut items.own, |shard| items.shards.get_mut(&shard).unwrap());
            match change.apply(item) {
                // These fields only count. With them, no two states would be equal. A client that compares `leases`
                // learns of a change from `lease_changed`.
                Some(next) => *item = Item { leases: 0, calls: 0, busy_ms: 0, ..next },
                None => match again(setup, item, change) {
                    Some(next) => {
                        *item = next;
                        continue;
                    }
                    None => return false,
                },
            }
            if let Change::Settle { actual, .. } = change {
                expected[place] = expected[place] + *actual;
            }
        }
        for (key, change) in changes {
            let (place, shard) = find(setup, key);
            if place == 0 {
                self.note(setup, shard, change, by, &scopes);
            }
            if matches!(change, Change::Lease { .. }) {
                self.lease_changed(setup, place);
            }
        }
        self.fell |= self.scopes.iter().zip(&scopes).any(|(before, after)| {
            let (before, after) = (settled(before), settled(after));
            before.max(after) != after
        });
        (self.scopes, self.expected) = (scopes, expected);
        true
    }

    /// Tells every execution that has read the scope's own item that a lease was changed since.
    fn lease_changed(&mut self, setup: &Setup, place: usize) {
        for client in &mut self.clients {
            if let Phase::Look(look) = &mut client.phase {
                let read = setup.limits_at(client.born).take(look.scopes.len());
                look.changed |= look.all && read.into_iter().any(|known| known == place);
            }
        }
    }

    /// Records the execution whose hold was taken or ended.
    fn note(&mut self, setup: &Setup, shard: Option<u16>, change: &Change, by: By, scopes: &[ScopeItems]) {
        let (Change::Take { owner, hold, .. } | Change::Draw { owner, hold, .. } | Change::Settle { owner, hold, .. }) =
            change
        else {
            return;
        };
        let expired = hold.is_expired(self.now_ms());
        let client = &mut self.clients[setup.named(owner)];
        match (change, by) {
            (Change::Settle { .. }, By::Owner) if expired => client.end = Some(By::OwnerLate),
            (Change::Settle { .. }, By::Queue) if expired => client.end = Some(By::QueueLate),
            (Change::Settle { .. }, by) => client.end = Some(by),
            _ => client.takes += 1,
        }
        if let (Change::Take { .. }, None, Some(limit)) = (change, shard, setup.limits[0].limits.output) {
            self.overdrawn |= client.seen + scopes[0].own.held.output > limit;
        }
    }

    /// Tokens that the model wrote for requests of the sentry and for requests that bypassed it.
    pub fn produced(&self) -> u64 {
        self.clients.iter().filter_map(|client| client.spent).map(u64::from).sum::<u64>() + self.bypass
    }

    pub fn now_ms(&self) -> i64 {
        crate::setup::at(self.clock).timestamp_millis()
    }

    /// The items that the sweep finds in its index.
    pub fn due(&self) -> impl Iterator<Item = (usize, Option<u16>, &Item)> {
        let now_ms = self.now_ms();
        let items = self.scopes.iter().enumerate();
        let items = items.flat_map(|(place, items)| items.iter().map(move |(shard, item)| (place, shard, item)));
        items.filter(move |(_, _, item)| item.sweep_at_ms.is_some_and(|at| at <= now_ms))
    }

    /// Takes an item out of the sweep's index.
    pub fn forget_sweep(&mut self, setup: &Setup, key: &Key) {
        let (place, shard) = find(setup, key);
        let items = &mut self.scopes[place];
        let item = shard.map_or(&mut items.own, |shard| items.shards.get_mut(&shard).unwrap());
        item.sweep_at_ms = None;
    }

    /// The changes by which the sweep settles expired holds now.
    pub fn expired(&self, setup: &Setup) -> Changes {
        let changes = self.due().flat_map(|(place, shard, item)| {
            sentry_ledger::steps::expiries(&Key::of(&setup.limits[place], shard), item, self.now_ms())
        });
        changes.map(|change| refund(setup, change)).collect()
    }
}

/// The position of the limit that an item belongs to, and the number of the shard.
fn find(setup: &Setup, key: &Key) -> (usize, Option<u16>) {
    let of_shard = key.of_shard();
    let (own, shard) = of_shard.as_ref().map_or((key, None), |(own, shard)| (own, Some(*shard)));
    let is = |limit: &ScopeLimit| own.scope == limit.scope && own.window == limit.window.key;
    (setup.limits.iter().position(is).unwrap(), shard)
}

/// The settled amount of a scope over all its items.
pub fn settled(items: &ScopeItems) -> Amount {
    items.iter().map(|(_, item)| item.settled).sum()
}

/// The sum of the individual holds of a scope.
pub fn holds(items: &ScopeItems) -> Amount {
    items.iter().flat_map(|(_, item)| item.holds.values()).map(|hold| hold.amount).sum()
}
