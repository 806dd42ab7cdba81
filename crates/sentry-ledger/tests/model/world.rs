//! Everything there is at one moment: the tables, the clock, CloudWatch, messages under way, and every execution.

use std::collections::BTreeMap;

use sentry_domain::Amount;
use sentry_ledger::change::Change;
use sentry_ledger::item::Item;
use sentry_ledger::steps::{Key, ScopeItems};

use crate::faults::{again, refund};
use crate::setup::{OWNERS, Setup};

/// Changes that happen together.
pub type Changes = Vec<(Key, Change)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub clock: u8,
    /// The ledger table, by limit.
    pub scopes: Vec<ScopeItems>,
    /// The requests table: whose a request is.
    pub records: BTreeMap<&'static str, usize>,
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
    pub places: Vec<Option<u8>>,
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
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Idle,
    Register { again: bool },
    Write,
    Look,
    Change(Vec<Changes>),
    Deny(Denial),
    Model,
    Settle { actual: u32, done: u8 },
    CancelLook,
    Cancel(Changes),
    Over(End),
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

/// A denial, beside what the tables said at the moment of the look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denial {
    pub needed: u128,
    /// What the judge says is left.
    pub judged: u128,
    /// What the answer shows as left.
    pub reported: u128,
    /// What really is left: the limit without what is used and held.
    pub really: u128,
    /// Whether the client is told to try again, and whether that makes sense.
    pub retry: [bool; 2],
    /// Whether it would have fitted by the ledger alone.
    pub by_cloudwatch: bool,
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        let items = |shards: u8| ScopeItems {
            own: Item::default(),
            shards: (0..shards).filter(|_| shards > 1).map(|shard| (shard, Item::default())).collect(),
        };
        let client = |tokens| Client {
            phase: Phase::Idle,
            born: 0,
            since: 0,
            seen: 0,
            places: vec![],
            max_tokens: tokens,
            spent: None,
            takes: 0,
            found: false,
            end: None,
        };
        Self {
            clock: 0,
            scopes: setup.limits.iter().map(|limit| items(limit.shards)).collect(),
            records: BTreeMap::new(),
            clients: setup.requests.iter().map(|request| client(request.tokens)).collect(),
            bypass: 0,
            cloud: 0,
            late: vec![],
            crashes: setup.crashes,
            delays: setup.late,
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
                // No limit is edited here, so nobody asks how often leases changed; counted, no two states would be the same.
                Some(next) => *item = Item { leases: 0, ..next },
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
        for (key, change) in changes.iter().filter(|(key, _)| find(setup, key).0 == 0) {
            self.note(setup, key, change, by, &scopes);
        }
        self.fell |= self.scopes.iter().zip(&scopes).any(|(before, after)| {
            let (before, after) = (settled(before), settled(after));
            before.max(after) != after
        });
        (self.scopes, self.expected) = (scopes, expected);
        true
    }

    /// Notes whose hold was taken or ended.
    fn note(&mut self, setup: &Setup, key: &Key, change: &Change, by: By, scopes: &[ScopeItems]) {
        let (Change::Take { hold, .. } | Change::Draw { hold, .. } | Change::Settle { hold, .. }) = change else {
            return;
        };
        let number = OWNERS.iter().position(|owner| *owner == hold.owner).unwrap();
        let expired = hold.is_expired(crate::setup::at(self.clock).timestamp_millis());
        let client = &mut self.clients[number];
        match change {
            Change::Settle { .. } => client.end = Some(if by == By::Owner && expired { By::OwnerLate } else { by }),
            _ => client.takes += 1,
        }
        if let (Change::Take { .. }, (place, None), Some(limit)) =
            (change, find(setup, key), setup.limits[0].limits.output)
        {
            self.overdrawn |= client.seen + scopes[place].own.held.output > limit;
        }
    }

    /// Tokens that the model wrote, for the sentry or round it.
    pub fn produced(&self) -> u64 {
        self.clients.iter().filter_map(|client| client.spent).map(u64::from).sum::<u64>() + self.bypass
    }

    pub fn now_ms(&self) -> i64 {
        crate::setup::at(self.clock).timestamp_millis()
    }

    /// The changes that a sweep makes now.
    pub fn expired(&self, setup: &Setup) -> Changes {
        let items = setup
            .limits
            .iter()
            .zip(&self.scopes)
            .flat_map(|(limit, items)| items.iter().map(move |item| (limit, item)));
        let changes = items.flat_map(|(limit, (shard, item))| {
            sentry_ledger::steps::expiries(&Key::of(limit, shard), item, self.now_ms())
        });
        changes.map(|change| refund(setup, change)).collect()
    }
}

/// Which limit's item it is, and which shard.
fn find(setup: &Setup, key: &Key) -> (usize, Option<u8>) {
    let is = |(_, limit): &(usize, &sentry_contract::states::ScopeLimit)| key.scope.starts_with(&limit.scope);
    let (place, limit) = setup.limits.iter().enumerate().find(is).unwrap();
    let rest = key.scope.strip_prefix(&limit.scope).unwrap();
    (place, rest.strip_prefix("##").map(|number| number.parse().unwrap()))
}

/// What a scope has settled, over all its items.
pub fn settled(items: &ScopeItems) -> Amount {
    items.iter().map(|(_, item)| item.settled).sum()
}

/// The sum of a scope's holds themselves.
pub fn holds(items: &ScopeItems) -> Amount {
    items.iter().flat_map(|(_, item)| item.holds.values()).map(|hold| hold.amount).sum()
}
