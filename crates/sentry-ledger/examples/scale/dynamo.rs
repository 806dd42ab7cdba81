//! A ledger table with the limits of DynamoDB: the charge of a call, the throughput of a partition key, the largest
//! item, and conflicts with transactions.
//!
//! The rules are those of the Amazon DynamoDB Developer Guide. A partition serves 1,000 write units and 3,000 read
//! units per second. A write is one unit for each started KB of the larger of the item before and after, even if its
//! condition fails. A strongly consistent read is one unit for each started 4 KB, and an eventually consistent read is
//! half of that. A transaction takes twice as many. An item has at most 400 KB. A write of an item that is in a
//! transaction under way is rejected, and so is another transaction.
//!
//! Some rules are stricter than those of DynamoDB. Unused capacity is kept for one second and not for 300. A
//! transaction is also rejected if one of its items was written in the last 2 ms. A transaction that is rejected
//! because of a conflict is charged in full.

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

// Microseconds from the client to DynamoDB and back, and the time for which a transaction locks its items. They are
// assumptions: a write takes 5 ms, a read 3 ms, and a transaction 15 ms. AWS says "single-digit milliseconds" of the
// first two. A transaction prepares and commits, so it takes two rounds of replication.
const WRITE_THERE: u64 = 2_500;
const WRITE_BACK: u64 = 2_500;
const READ_THERE: u64 = 1_500;
const READ_BACK: u64 = 1_500;
const LOCKED: u64 = 10_000;
/// Microseconds after a write for which a transaction on the item conflicts.
const WRITING: u64 = 2_000;

/// The result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The write happened. The item after the write, if it was a single write and not a transaction.
    Done(Option<Box<Item>>),
    Refused,
    Conflict,
    Throttled,
    TooLarge,
}

/// The units that are available now, at most those of one second.
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

    /// `true` if a call is served now. Units that earlier calls took in excess must be regained first.
    fn is_open(&mut self, now: u64) -> bool {
        let passed = (now - self.at) as f64 / SECOND as f64;
        (self.units, self.at) = ((self.units + passed * self.rate).min(self.rate), now);
        self.units > 0.0
    }
}

/// A partition key: all windows of a scope, or of one of its shards.
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

/// The totals of all calls.
#[derive(Clone, Debug, Default)]
pub struct Used {
    pub write_units: u64,
    /// Half units: an eventually consistent read of up to 4 KB is one.
    pub half_read_units: u64,
    /// Writes of the sweep's index.
    pub index_units: u64,
    pub largest: usize,
    /// The most shards that a scope was spread over.
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
        // The index has only the keys. It is written when they change: one write for an old entry, and one for a new
        // entry.
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

    /// The items of `keys` that can be read now, and the keys that are throttled.
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

/// The ledger table, as a remote client sees it.
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

    /// `UpdateItem`. `done` is called at the moment when the write happens.
    pub async fn update(&self, key: &Key, change: &Change, done: impl FnOnce(&Change)) -> Reply {
        self.clock.sleep(WRITE_THERE).await;
        let reply = self.state.borrow_mut().update(key, change, self.clock.now());
        if matches!(reply, Reply::Done(_)) {
            done(change);
        }
        self.clock.sleep(WRITE_BACK).await;
        reply
    }

    /// `TransactWriteItems`. Its items are locked while it is under way.
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

    /// `GetItem` or `BatchGetItem`. Returns the items, and the keys that were throttled.
    pub async fn read(&self, keys: &[Key], consistent: bool) -> (Vec<(Key, Item)>, Vec<Key>) {
        self.clock.sleep(READ_THERE).await;
        let read = self.state.borrow_mut().read(keys, if consistent { 2 } else { 1 }, self.clock.now());
        self.clock.sleep(READ_BACK).await;
        read
    }

    /// A write of the requests table. All of its keys are different, so it is never throttled.
    pub async fn note(&self) {
        self.clock.sleep(WRITE_THERE + WRITE_BACK).await;
        self.state.borrow_mut().used.write_units += 1;
    }
}
