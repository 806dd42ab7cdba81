//! The attributes of the ledger's items, and reading them.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use sentry_domain::{Amount, PerUnit};
use thiserror::Error as ThisError;

use crate::item::Item;
use crate::key::Key;

/// Partition key: the name of the scope. For a shard, its number follows.
pub const SCOPE: &str = "scope";
/// Sort key: the key of the window.
pub const WINDOW: &str = "window";
/// Partition key of the index that the sweep reads.
pub const SWEEP: &str = "sweep";
/// The only value of the partition key [`SWEEP`].
pub const DUE: &str = "due";
/// Sort key of the sweep's index: milliseconds since 1970 at which the sweep must look at the item. Absent if the item
/// holds nothing.
pub const SWEEP_AT: &str = "sweepAtMs";
/// Prefix of a hold's attribute. The owner follows.
pub const HOLD: &str = "h#";
/// Prefix of the attribute that bars an execution. The owner follows.
pub const BARRED: &str = "x#";
/// Prefix of the attribute that marks an alert as sent or claimed. The threshold follows.
pub const ALERT: &str = "a#";
pub const WATCH: &str = "watch";
/// Prefix of the attribute that marks a shard. The number of the shard follows.
pub const SHARD: &str = "s#";
pub const TERMS: &str = "terms";
/// The number of times that a lease was made, renewed or called back.
pub const LEASES: &str = "leases";
/// The end of a lease, in milliseconds since 1970.
pub const LEASE_UNTIL: &str = "leaseUntilMs";
/// The number of shards that new holds are spread over.
pub const SPREAD: &str = "spread";
/// Milliseconds since 1970 at which [`SPREAD`] last changed.
pub const SPREAD_AT: &str = "spreadAtMs";
/// Present if anything was ever counted in a scope's own item.
pub const BEGUN: &str = "begun";
/// Seconds since 1970 after which DynamoDB may delete the item.
pub const DELETE_AFTER: &str = "expiresAt";
/// The number of holds that were settled by their own requests.
pub const CALLS: &str = "calls";
/// The total duration of these holds, in milliseconds.
pub const BUSY: &str = "busyMs";

/// The names of the five attributes of a counter.
pub type Names = PerUnit<&'static str>;

pub const SETTLED: Names = PerUnit {
    input: "settledInput",
    output: "settledOutput",
    usd: "settledUsd",
    requests: "settledRequests",
    in_flight: "settledInFlight",
};
pub const HELD: Names = PerUnit {
    input: "heldInput",
    output: "heldOutput",
    usd: "heldUsd",
    requests: "heldRequests",
    in_flight: "heldInFlight",
};
pub const COMMITTED: Names = PerUnit {
    input: "committedInput",
    output: "committedOutput",
    usd: "committedUsd",
    requests: "committedRequests",
    in_flight: "committedInFlight",
};
pub const FREE: Names = PerUnit {
    input: "freeInput",
    output: "freeOutput",
    usd: "freeUsd",
    requests: "freeRequests",
    in_flight: "freeInFlight",
};

pub type Attributes = HashMap<String, AttributeValue>;

pub fn key(key: &Key) -> Attributes {
    Attributes::from([
        (SCOPE.to_owned(), AttributeValue::S(key.scope.clone())),
        (WINDOW.to_owned(), AttributeValue::S(key.window.clone())),
    ])
}

/// The key of an item that was read. `None` if an attribute of the key is missing.
pub fn read_key(attributes: &Attributes) -> Option<Key> {
    let text = |name: &str| attributes.get(name)?.as_s().ok().cloned();
    Some(Key { scope: text(SCOPE)?, window: text(WINDOW)? })
}

/// An attribute with a value that the ledger does not write.
#[derive(Debug, ThisError)]
#[error("the attribute {name} cannot be understood")]
pub struct DamagedAttribute {
    name: String,
}

impl DamagedAttribute {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

/// Reads an item. Unknown attributes are ignored.
///
/// # Errors
/// If a value is not one that the ledger writes.
pub fn read(attributes: &Attributes) -> Result<Item, DamagedAttribute> {
    let mut item = Item {
        begun: attributes.contains_key(BEGUN),
        settled: Amount::unsigned(&numbers(attributes, &SETTLED)?),
        held: Amount::unsigned(&numbers(attributes, &HELD)?),
        free: numbers(attributes, &FREE)?,
        calls: number(attributes, CALLS)?.unwrap_or_default(),
        busy_ms: number(attributes, BUSY)?.unwrap_or_default(),
        leases: number(attributes, LEASES)?.unwrap_or_default(),
        lease_until_ms: number(attributes, LEASE_UNTIL)?.unwrap_or_default(),
        spread: number(attributes, SPREAD)?.unwrap_or_default(),
        spread_at_ms: number(attributes, SPREAD_AT)?.unwrap_or_default(),
        sweep_at_ms: number(attributes, SWEEP_AT)?,
        ..Item::default()
    };
    item.terms = attributes.get(TERMS).and_then(|terms| terms.as_s().ok()).cloned();
    if let Some(watch) = attributes.get(WATCH) {
        let text = watch.as_s().ok().and_then(|text| text.parse().ok());
        item.watch = Some(text.ok_or_else(|| DamagedAttribute::new(WATCH))?);
    }
    for (name, value) in attributes {
        let wrong = || DamagedAttribute::new(name);
        let whole = || value.as_n().map_err(|_| wrong());
        if let Some(owner) = name.strip_prefix(HOLD) {
            let hold = value.as_s().ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
            item.holds.insert(owner.to_owned(), hold);
        } else if let Some(owner) = name.strip_prefix(BARRED) {
            item.barred.insert(owner.to_owned(), whole()?.parse().map_err(|_| wrong())?);
        } else if let Some(threshold) = name.strip_prefix(ALERT) {
            item.alerted.insert(threshold.parse().map_err(|_| wrong())?);
        } else if let Some(shard) = name.strip_prefix(SHARD) {
            let holds = whole()?.parse().map_err(|_| wrong())?;
            item.shards.insert(shard.parse().map_err(|_| wrong())?, holds);
        }
    }
    Ok(item)
}

fn numbers(attributes: &Attributes, names: &Names) -> Result<PerUnit<i128>, DamagedAttribute> {
    let mut numbers = PerUnit::default();
    for (unit, name) in names.iter() {
        // A counter that is absent is 0, because DynamoDB's `ADD` creates it.
        *numbers.get_mut(unit) = number(attributes, name)?.unwrap_or_default();
    }
    Ok(numbers)
}

fn number<T: FromStr>(attributes: &Attributes, name: &str) -> Result<Option<T>, DamagedAttribute> {
    let Some(value) = attributes.get(name) else { return Ok(None) };
    let number = value.as_n().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| DamagedAttribute::new(name))
}
