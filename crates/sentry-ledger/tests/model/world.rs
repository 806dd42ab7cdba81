//! Everything there is at one moment: the tables, the clock, CloudWatch, messages under way, and every execution.

use std::collections::BTreeMap;

use sentry_domain::{Amount, PerUnit};
use sentry_ledger::change::Change;
use sentry_ledger::item::Item;
use sentry_ledger::steps::{Key, ScopeItems};

use crate::faults::{again, refund};
use crate::setup::{SHARDS, Setup};

/// Changes that happen together.
pub type Changes = Vec<(Key, Change)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub clock: u8,
    /// The ledger table, by limit.
    pub scopes: Vec<ScopeItems>,
    /// The requests table: whose a request is, and whether that execution has given it up.
    pub records: BTreeMap<&'static str, (usize, bool)>,
    pub clients: Vec<Client>,
    /// Tokens that went round the sentry.
    pub bypass: u64,
    /// Tokens that CloudWatch shows.
    pub cloud: u64,
    /// Writes that are still under way.
    pub late: Vec<Changes>,
    /// How often something may still crash.
    pub crashes: u8,
    /// How many writes may still be late.
    pub delays: u8,
    /// How often the number of shards may still change.
    pub spreads: u8,
    /// The first leases of new shards, which whoever has spread a scope is about to make.
    pub opening: Vec<Changes>,
    /// What the sweeper is about to write.
    pub sweeping: Option<Changes>,
    /// What every scope should have settled by what was settled there.
    pub expected: Vec<Amount>,
    /// Whether a scope's settled amount ever became less.
    pub fell: bool,
    /// Whether a hold was taken past what CloudWatch had shown.
    pub overdrawn: bool,
}

/// One execution of the workflow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub phase: Phase,
    /// When the execution started.
    pub born: u8,
    /// When its reserve function started; then when the hold was taken.
    pub since: u8,
    /// Tokens that CloudWatch had shown.
    pub seen: u64,
    /// Whether a write of it may have happened, or may happen yet, without its knowledge.
    pub uncertain: bool,
    /// For each of its limits the shard to hold in.
    pub places: Vec<Option<u16>>,
    pub max_tokens: u32,
    /// Tokens that the model really wrote, once it was called.
    pub spent: Option<u32>,
    /// How many holds it took on the first scope.
    pub takes: u8,
    /// Whether a repeated reserve found the hold.
    pub found: bool,
    /// How its hold on the first scope ended.
    pub end: Option<By>,
}

/// Who settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    Owner,
    OwnerLate,
    Sweeper,
    /// Another request's reserve.
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
    /// The queue delivers the settlement so often yet.
    Queued {
        actual: u32,
        done: u8,
        left: u8,
    },
    GivingUp(GivingUp),
    Over(End),
}

/// What a reserve has read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Look {
    /// Whether all shards are read, not only those that its hold can be in.
    pub all: bool,
    pub scopes: Vec<ScopeItems>,
    /// What else is to be read: which of its limits, and which shard.
    pub todo: Vec<(usize, u16)>,
    /// What was really left in each scope when its own item was read.
    pub rooms: Vec<Room>,
    /// Whether a lease was changed since.
    pub changed: bool,
}

/// What is left under a limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Room(pub PerUnit<Option<u128>>);

/// An execution that is barred from taking a hold, and gives back what it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GivingUp {
    /// What it is still to be barred from: places of limits, and shards.
    pub bars: Vec<(usize, Option<u16>)>,
    /// What is to be given back.
    pub changes: Changes,
    /// Whether Reserve does it, which then denies.
    pub denial: Option<Denial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    Admitted,
    Answered,
    /// The model's outcome is unknown.
    Unknown,
    Denied(Denial),
    Duplicate,
    /// The ledger could not be asked; nothing is held.
    Unavailable,
    /// The execution died.
    Died,
}

/// A denial, beside what the tables said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denial {
    pub needed: u128,
    /// What the judge says is left.
    pub judged: u128,
    /// What the answer shows as left.
    pub reported: u128,
    /// What really was left when the scope's own item was read: the limit without what was used and held.
    pub really: u128,
    /// Whether the client is told to try again, and whether that makes sense.
    pub retry: [bool; 2],
    /// Whether it would have fitted by the ledger alone.
    pub by_cloudwatch: bool,
    /// Whether shards were read.
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

    /// Makes all changes or none, and keeps account of it. Whether they happened.
    pub fn make(&mut self, setup: &Setup, changes: &[(Key, Change)], by: By) -> bool {
        let mut scopes = self.scopes.clone();
        let mut expected = self.expected.clone();
        for (key, change) in changes {
            let (place, shard) = find(setup, key);
            let items = &mut scopes[place];
            let item = shard.map_or(&mut items.own, |shard| items.shards.get_mut(&shard).unwrap());
            match change.apply(item) {
                // These only count, and with them no two states would be the same. Who compares how often leases changed is told below.
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

    /// Whoever has read the scope's own item will see that a lease was changed since.
    fn lease_changed(&mut self, setup: &Setup, place: usize) {
        for client in &mut self.clients {
            if let Phase::Look(look) = &mut client.phase {
                let read = setup.limits_at(client.born).take(look.scopes.len());
                look.changed |= look.all && read.into_iter().any(|known| known == place);
            }
        }
    }

    /// Notes whose hold was taken or ended.
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

    /// Tokens that the model wrote, for the sentry or round it.
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

    /// The holds that the sweep settles now.
    pub fn expired(&self, setup: &Setup) -> Changes {
        let changes = self.due().flat_map(|(place, shard, item)| {
            sentry_ledger::steps::expiries(&Key::of(&setup.limits[place], shard), item, self.now_ms())
        });
        changes.map(|change| refund(setup, change)).collect()
    }
}

/// Which limit's item it is, and which shard.
fn find(setup: &Setup, key: &Key) -> (usize, Option<u16>) {
    let of_shard = key.of_shard();
    let (own, shard) = of_shard.as_ref().map_or((key, None), |(own, shard)| (own, Some(*shard)));
    let is = |limit: &sentry_contract::states::ScopeLimit| own.scope == limit.scope && own.window == limit.window.key;
    (setup.limits.iter().position(is).unwrap(), shard)
}

/// What a scope has settled, over all its items.
pub fn settled(items: &ScopeItems) -> Amount {
    items.iter().map(|(_, item)| item.settled).sum()
}

/// The sum of a scope's holds themselves.
pub fn holds(items: &ScopeItems) -> Amount {
    items.iter().flat_map(|(_, item)| item.holds.values()).map(|hold| hold.amount).sum()
}
