//! One hot scope's items in a DynamoDB that has limits: what a call is charged, when a partition is too busy, how large an
//! item may be, and which calls meet a transaction.
//!
//! Amazon DynamoDB Developer Guide: a partition serves 1,000 write units and 3,000 read units a second; a write of 1 KB, or
//! a strongly consistent read of 4 KB, is one unit, in a transaction two; an item has at most 400 KB; a transaction reads at
//! most 4 MB. Not in this model: burst and adaptive capacity, which help for minutes at most.

use std::collections::BTreeMap;

use sentry_contract::states::ScopeLimit;
use sentry_ledger::change::Change;
use sentry_ledger::item::Item;
use sentry_ledger::steps::{Key, ScopeItems};

const WRITE_UNITS: f64 = 1_000.0;
const READ_UNITS: f64 = 3_000.0;
const WRITE_BYTES: usize = 1_024;
const READ_BYTES: usize = 4_096;
const LARGEST_ITEM: usize = 400 * 1_024;
const LARGEST_READ: usize = 4 * 1_024 * 1_024;
const MICROS: f64 = 1_000_000.0;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Refused,
    Conflict,
    Throttled,
    TooLarge,
}

/// Units that are there now; a second's worth at most.
struct Bucket {
    rate: f64,
    units: f64,
    at: u64,
}

impl Bucket {
    fn new(rate: f64) -> Self {
        Self { rate, units: rate, at: 0 }
    }

    /// Whether a call is served now: what the one before took too much is paid first.
    fn is_open(&mut self, now: u64) -> bool {
        let passed = (now - self.at) as f64 / MICROS;
        (self.units, self.at) = ((self.units + passed * self.rate).min(self.rate), now);
        self.units > 0.0
    }
}

struct Partition {
    shard: Option<u8>,
    bytes: usize,
    writes: Bucket,
    reads: Bucket,
    locked: bool,
}

/// The scope's own item and its shards.
pub struct Table {
    /// What a read returns.
    pub items: ScopeItems,
    places: BTreeMap<Key, usize>,
    partitions: Vec<Partition>,
    pub write_units: u64,
    pub read_units: u64,
    pub largest: usize,
}

impl Table {
    pub fn new(limit: &ScopeLimit) -> Self {
        let shards = if limit.shards > 1 { 0..limit.shards } else { 0..0 };
        let names: Vec<Option<u8>> = std::iter::once(None).chain(shards.clone().map(Some)).collect();
        let places = names.iter().enumerate().map(|(place, shard)| (Key::of(limit, *shard), place)).collect();
        let partition = |shard| Partition {
            shard,
            bytes: 0,
            writes: Bucket::new(WRITE_UNITS),
            reads: Bucket::new(READ_UNITS),
            locked: false,
        };
        let partitions = names.into_iter().map(partition).collect();
        let items = ScopeItems { own: Item::default(), shards: shards.map(|shard| (shard, Item::default())).collect() };
        Self { items, places, partitions, write_units: 0, read_units: 0, largest: 0 }
    }

    fn at(&mut self, key: &Key) -> &mut Partition {
        &mut self.partitions[self.places[key]]
    }

    fn item(&mut self, key: &Key) -> &mut Item {
        match self.at(key).shard {
            None => &mut self.items.own,
            Some(shard) => self.items.shards.entry(shard).or_default(),
        }
    }

    fn charge_write(&mut self, key: &Key, bytes: usize, factor: u64) {
        let units = factor * bytes.div_ceil(WRITE_BYTES).max(1) as u64;
        self.at(key).writes.units -= units as f64;
        self.write_units += units;
    }

    /// `UpdateItem`.
    pub fn update(&mut self, key: &Key, change: &Change, now: u64) -> Reply {
        let partition = self.at(key);
        if !partition.writes.is_open(now) {
            return Reply::Throttled;
        }
        if partition.locked {
            return Reply::Conflict;
        }
        let before = partition.bytes;
        let Some(after) = change.apply(self.item(key)) else {
            self.charge_write(key, before, 1);
            return Reply::Refused;
        };
        let bytes = bytes_of(key, &after);
        if bytes > LARGEST_ITEM {
            return Reply::TooLarge;
        }
        *self.item(key) = after;
        self.at(key).bytes = bytes;
        self.largest = self.largest.max(bytes);
        self.charge_write(key, before.max(bytes), 1);
        Reply::Done
    }

    /// The first half of `TransactWriteItems`: its items are locked if it will happen.
    pub fn prepare(&mut self, changes: &[(Key, Change)], now: u64) -> Reply {
        for (key, _) in changes {
            let partition = self.at(key);
            if !partition.writes.is_open(now) {
                return Reply::Throttled;
            }
            if partition.locked {
                return Reply::Conflict;
            }
        }
        let applies = changes.iter().all(|(key, change)| change.apply(self.item(key)).is_some());
        for (key, _) in changes {
            let partition = self.at(key);
            partition.locked = applies;
            let bytes = partition.bytes;
            self.charge_write(key, bytes, 2);
        }
        if applies { Reply::Done } else { Reply::Refused }
    }

    /// Its second half.
    pub fn commit(&mut self, changes: &[(Key, Change)]) {
        for (key, change) in changes {
            let after = change.apply(self.item(key)).unwrap();
            let partition = self.at(key);
            (partition.bytes, partition.locked) = (bytes_of(key, &after), false);
            *self.item(key) = after;
        }
    }

    /// Whether everything can be read at one moment, and what that costs: `GetItem`, or `TransactGetItems` where there are shards.
    pub fn read(&mut self, now: u64) -> Reply {
        let factor = if self.partitions.len() > 1 { 2 } else { 1 };
        if !self.partitions.iter_mut().all(|partition| partition.reads.is_open(now)) {
            return Reply::Throttled;
        }
        if factor > 1 && self.partitions.iter().any(|partition| partition.locked) {
            return Reply::Conflict;
        }
        if self.partitions.iter().map(|partition| partition.bytes).sum::<usize>() > LARGEST_READ {
            return Reply::TooLarge;
        }
        for partition in &mut self.partitions {
            let units = factor * partition.bytes.div_ceil(READ_BYTES).max(1) as u64;
            partition.reads.units -= units as f64;
            self.read_units += units;
        }
        Reply::Done
    }
}

/// The item's size as DynamoDB counts it: names and values, a number half a byte a digit and one more.
fn bytes_of(key: &Key, item: &Item) -> usize {
    /// Names of the key, of up to nine counters, `calls`, `busyMs`, `expiresAt`, and in a shard `terms` and `leaseUntilMs`.
    const NAMES: usize = 11 + 9 * 13 + 5 + 6 + 9 + 5 + 12;
    /// A counter of twelve digits.
    const NUMBER: usize = 7;
    let holds = item.holds.iter().map(|(id, hold)| "h#".len() + id.len() + hold.to_string().len());
    let terms = item.terms.as_ref().map_or(0, String::len);
    key.scope.len() + key.window.len() + NAMES + 13 * NUMBER + terms + 4 * item.shards.len() + holds.sum::<usize>()
}
