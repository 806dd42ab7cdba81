//! A ledger table with DynamoDB's limits: what a call is charged, when a partition key is too busy, how large an item may
//! be, and which calls meet a transaction.
//!
//! Amazon DynamoDB Developer Guide: a partition serves 1,000 write units and 3,000 read units a second; a write is a unit for
//! each KB begun of the larger of the item before and after, also when its condition fails; a strongly consistent read is one
//! for each 4 KB begun, an eventually consistent one half of that; a transaction takes twice as many. An item has at most
//! 400 KB. A write of an item that is in a transaction under way is refused, and so is a transaction.
//!
//! On the careful side: what is saved up unused is one second's worth and not 300; a transaction is refused as well where an item was
//! written by itself in the last 2 ms; a transaction that is refused for a conflict is charged in full.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use sentry_ledger::change::Change;
use sentry_ledger::item::Item;
use sentry_ledger::steps::Key;

use crate::clock::Clock;
use crate::size::bytes_of;

const WRITE_UNITS: f64 = 1_000.0;
const READ_UNITS: f64 = 3_000.0;
const WRITE_BYTES: usize = 1_024;
const READ_BYTES: usize = 4_096;
const LARGEST_ITEM: usize = 400 * 1_024;
const SECOND: u64 = 1_000_000;

/// Microseconds from the client to DynamoDB and from there back, and how long a transaction has its items to itself.
/// Assumptions: a write takes 5 ms, a read 3 ms, a transaction 15 ms. AWS says "single-digit milliseconds" of the first two; a transaction
/// prepares and commits, so it takes two rounds of replication.
const WRITE_THERE: u64 = 2_500;
const WRITE_BACK: u64 = 2_500;
const READ_THERE: u64 = 1_500;
const READ_BACK: u64 = 1_500;
const LOCKED: u64 = 10_000;
/// How long a write by itself keeps a transaction off its item.
const WRITING: u64 = 2_000;

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It happened. The item as it is now, where it was one that was written by itself.
    Done(Option<Box<Item>>),
    Refused,
    Conflict,
    Throttled,
    TooLarge,
}

/// Units that are there now; a second's worth at most.
#[derive(Clone, Copy)]
struct Bucket {
    rate: f64,
    units: f64,
    at: u64,
}

impl Bucket {
    const fn new(rate: f64) -> Self {
        Self { rate, units: rate, at: 0 }
    }

    /// Whether a call is served now: what the one before took too much is paid first.
    fn is_open(&mut self, now: u64) -> bool {
        let passed = (now - self.at) as f64 / SECOND as f64;
        (self.units, self.at) = ((self.units + passed * self.rate).min(self.rate), now);
        self.units > 0.0
    }
}

/// A partition key: all windows of a scope or of one of its shards.
struct Partition {
    writes: Bucket,
    reads: Bucket,
}

#[derive(Default)]
struct Stored {
    item: Item,
    bytes: usize,
    locked: bool,
    written: u64,
}

/// What all calls came to.
#[derive(Clone, Debug, Default)]
pub struct Used {
    pub write_units: u64,
    /// In halves: an eventually consistent read of up to 4 KB is one.
    pub half_read_units: u64,
    /// Writes of the sweep's index.
    pub index_units: u64,
    pub largest: usize,
    /// Over which a scope was spread.
    pub most_shards: u16,
    pub throttled: u64,
    pub conflicts: u64,
    /// Write units by second.
    pub by_second: BTreeMap<u64, u64>,
    /// Half read units by second.
    pub reads_by_second: BTreeMap<u64, u64>,
}

#[derive(Default)]
struct State {
    stored: HashMap<Key, Stored>,
    partitions: HashMap<String, Partition>,
    used: Used,
}

impl State {
    fn partition(&mut self, key: &Key) -> &mut Partition {
        if !self.partitions.contains_key(&key.scope) {
            let new = Partition { writes: Bucket::new(WRITE_UNITS), reads: Bucket::new(READ_UNITS) };
            self.partitions.insert(key.scope.clone(), new);
        }
        self.partitions.get_mut(&key.scope).unwrap()
    }

    fn stored(&mut self, key: &Key) -> &mut Stored {
        if !self.stored.contains_key(key) {
            self.stored.insert(key.clone(), Stored::default());
        }
        self.stored.get_mut(key).unwrap()
    }

    fn charge_write(&mut self, key: &Key, bytes: usize, factor: u64, now: u64) {
        let units = factor * bytes.div_ceil(WRITE_BYTES).max(1) as u64;
        self.partition(key).writes.units -= units as f64;
        self.used.write_units += units;
        *self.used.by_second.entry(now / SECOND).or_default() += units;
    }

    fn put(&mut self, key: &Key, after: Item, now: u64) -> usize {
        let bytes = bytes_of(key, &after);
        if key.of_shard().is_none() {
            self.used.most_shards = self.used.most_shards.max(after.spread.max(1));
        }
        let stored = self.stored(key);
        let (was, is) = (stored.item.sweep_at_ms, after.sweep_at_ms);
        (stored.item, stored.bytes, stored.written) = (after, bytes, now);
        self.used.largest = self.used.largest.max(bytes);
        // The index has the keys only: it is written when its own change, an old entry and a new one each.
        if was != is {
            self.used.index_units += u64::from(was.is_some()) + u64::from(is.is_some());
        }
        bytes
    }

    fn update(&mut self, key: &Key, change: &Change, now: u64) -> Reply {
        if !self.partition(key).writes.is_open(now) {
            self.used.throttled += 1;
            return Reply::Throttled;
        }
        let stored = self.stored(key);
        if stored.locked {
            self.used.conflicts += 1;
            return Reply::Conflict;
        }
        let before = stored.bytes;
        let Some(after) = change.apply(&stored.item) else {
            self.charge_write(key, before, 1, now);
            return Reply::Refused;
        };
        if bytes_of(key, &after) > LARGEST_ITEM {
            return Reply::TooLarge;
        }
        let bytes = self.put(key, after.clone(), now);
        self.charge_write(key, before.max(bytes), 1, now);
        Reply::Done(Some(Box::new(after)))
    }

    fn prepare(&mut self, changes: &[(Key, Change)], now: u64) -> Reply {
        if !changes.iter().all(|(key, _)| self.partition(key).writes.is_open(now)) {
            self.used.throttled += 1;
            return Reply::Throttled;
        }
        let mut reply = Reply::Done(None);
        for (key, change) in changes {
            let stored = self.stored(key);
            if stored.locked || stored.written + WRITING > now && stored.written > 0 {
                reply = Reply::Conflict;
                break;
            }
            if change.apply(&stored.item).is_none() {
                reply = Reply::Refused;
            }
        }
        self.used.conflicts += u64::from(reply == Reply::Conflict);
        for (key, _) in changes {
            let stored = self.stored(key);
            stored.locked |= matches!(reply, Reply::Done(_));
            let bytes = stored.bytes;
            self.charge_write(key, bytes, 2, now);
        }
        reply
    }

    fn commit(&mut self, changes: &[(Key, Change)], now: u64) {
        for (key, change) in changes {
            let stored = self.stored(key);
            stored.locked = false;
            let after = change.apply(&stored.item).unwrap();
            self.put(key, after, now);
        }
    }

    /// What can be read now of `keys`, and which are throttled.
    fn read(&mut self, keys: &[Key], halves: u64, now: u64) -> (Vec<(Key, Item)>, Vec<Key>) {
        let (mut items, mut left) = (Vec::with_capacity(keys.len()), Vec::new());
        for key in keys {
            if !self.partition(key).reads.is_open(now) {
                self.used.throttled += 1;
                left.push(key.clone());
                continue;
            }
            let (item, bytes) = self.stored.get(key).map_or_else(Default::default, |at| (at.item.clone(), at.bytes));
            let half_units = halves * bytes.div_ceil(READ_BYTES).max(1) as u64;
            self.partition(key).reads.units -= half_units as f64 / 2.0;
            self.used.half_read_units += half_units;
            *self.used.reads_by_second.entry(now / SECOND).or_default() += half_units;
            items.push((key.clone(), item));
        }
        (items, left)
    }
}

/// The ledger table, as a client far from it sees it.
pub struct Table<'a> {
    clock: &'a Clock,
    state: RefCell<State>,
}

impl<'a> Table<'a> {
    pub fn new(clock: &'a Clock) -> Self {
        Self { clock, state: RefCell::default() }
    }

    pub fn used(&self) -> Used {
        self.state.borrow().used.clone()
    }

    /// `UpdateItem`. `done` is told of it at the moment when it happens.
    pub async fn update(&self, key: &Key, change: &Change, done: impl FnOnce(&Change)) -> Reply {
        self.clock.sleep(WRITE_THERE).await;
        let reply = self.state.borrow_mut().update(key, change, self.clock.now());
        if matches!(reply, Reply::Done(_)) {
            done(change);
        }
        self.clock.sleep(WRITE_BACK).await;
        reply
    }

    /// `TransactWriteItems`: its items are locked while it is under way.
    pub async fn transact(&self, changes: &[(Key, Change)], done: impl FnOnce()) -> Reply {
        self.clock.sleep(WRITE_THERE).await;
        let reply = self.state.borrow_mut().prepare(changes, self.clock.now());
        if matches!(reply, Reply::Done(_)) {
            self.clock.sleep(LOCKED).await;
            self.state.borrow_mut().commit(changes, self.clock.now());
            done();
        }
        self.clock.sleep(WRITE_BACK).await;
        reply
    }

    /// `GetItem` or `BatchGetItem`.
    pub async fn read(&self, keys: &[Key], consistent: bool) -> (Vec<(Key, Item)>, Vec<Key>) {
        self.clock.sleep(READ_THERE).await;
        let read = self.state.borrow_mut().read(keys, if consistent { 2 } else { 1 }, self.clock.now());
        self.clock.sleep(READ_BACK).await;
        read
    }

    /// A write of the requests' table, whose keys are all different.
    pub async fn note(&self) {
        self.clock.sleep(WRITE_THERE + WRITE_BACK).await;
        self.state.borrow_mut().used.write_units += 1;
    }
}
