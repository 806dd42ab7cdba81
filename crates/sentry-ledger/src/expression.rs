//! Converts items and changes to attributes and expressions of DynamoDB.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use sentry_domain::{Amount, PerUnit};
use thiserror::Error as ThisError;

use crate::alert::Watch;
use crate::change::{Change, is_emptied};
use crate::item::{Hold, Item};
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
const HOLD: &str = "h#";
/// Prefix of the attribute that bars an execution. The owner follows.
const BARRED: &str = "x#";
/// Prefix of the attribute that marks an alert as sent or claimed. The threshold follows.
pub const ALERT: &str = "a#";
const WATCH: &str = "watch";
/// Prefix of the attribute that marks a shard. The number of the shard follows.
const SHARD: &str = "s#";
const TERMS: &str = "terms";
/// The number of times that a lease was made, renewed or called back.
const LEASES: &str = "leases";
/// The end of a lease, in milliseconds since 1970.
const LEASE_UNTIL: &str = "leaseUntilMs";
/// The number of shards that new holds are spread over.
const SPREAD: &str = "spread";
/// Milliseconds since 1970 at which [`SPREAD`] last changed.
const SPREAD_AT: &str = "spreadAtMs";
/// Present if anything was ever counted in a scope's own item.
const BEGUN: &str = "begun";
/// Seconds since 1970 after which DynamoDB may delete the item.
const DELETE_AFTER: &str = "expiresAt";
/// The number of holds that were settled by their own requests.
const CALLS: &str = "calls";
/// The total duration of these holds, in milliseconds.
const BUSY: &str = "busyMs";

/// The names of the five attributes of a counter.
type Names = PerUnit<&'static str>;

const SETTLED: Names = PerUnit {
    input: "settledInput",
    output: "settledOutput",
    usd: "settledUsd",
    requests: "settledRequests",
    in_flight: "settledInFlight",
};
const HELD: Names = PerUnit {
    input: "heldInput",
    output: "heldOutput",
    usd: "heldUsd",
    requests: "heldRequests",
    in_flight: "heldInFlight",
};
const COMMITTED: Names = PerUnit {
    input: "committedInput",
    output: "committedOutput",
    usd: "committedUsd",
    requests: "committedRequests",
    in_flight: "committedInFlight",
};
const FREE: Names = PerUnit {
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

/// The parts of an update expression and its condition.
#[derive(Debug, Default)]
pub struct Expression {
    sets: Vec<String>,
    adds: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: Attributes,
}

impl Expression {
    #[must_use]
    pub fn of(change: &Change) -> Self {
        let mut expression = Self::default();
        match change {
            Change::Take { owner, hold, bounds, terms, watch, delete_after } => {
                expression.take(owner, hold);
                expression.watch(watch.as_ref());
                expression.terms_agree(terms);
                expression.at_most(&COMMITTED, bounds.committed);
                expression.at_most(&HELD, bounds.held);
                expression.add(&COMMITTED, hold.amount.signed());
                expression.begun();
                expression.delete_after(*delete_after);
            }
            Change::Draw { owner, hold, limited, terms, now_ms } => {
                expression.take(owner, hold);
                expression.terms_are(terms);
                expression.require(LEASE_UNTIL, ">", now_ms);
                let needed = hold.amount.signed();
                for (unit, attribute) in FREE.iter().filter(|(unit, _)| *limited.get(*unit)) {
                    expression.require(attribute, ">=", needed.get(unit));
                }
                expression.add(&FREE, -needed);
            }
            Change::Settle { owner, hold, actual, shard, lasted_ms } => {
                let name = expression.name(&format!("{HOLD}{owner}"));
                let stored = expression.value(AttributeValue::S(hold.to_string()));
                expression.conditions.push(format!("{name} = {stored}"));
                expression.removes.push(name);
                let (held, used) = (hold.amount.signed(), actual.signed());
                expression.add(&HELD, -held);
                expression.add(&SETTLED, used);
                if *shard {
                    expression.add(&FREE, held - used);
                } else {
                    expression.add(&COMMITTED, used - held);
                }
                if let Some(lasted) = lasted_ms {
                    expression.add_one(CALLS, 1);
                    expression.add_one(BUSY, (*lasted).into());
                }
            }
            Change::Bar { owner, until_ms, delete_after } => {
                expression.set(&format!("{BARRED}{owner}"), number_value(until_ms));
                expression.delete_after(*delete_after);
                expression.sweep_by(*until_ms);
            }
            Change::Lease { .. } => expression.lease(change),
            Change::Agree { leases, terms } => {
                expression.counter_is(LEASES, *leases);
                expression.set_terms(terms);
            }
            Change::Leased { .. } => expression.leased(change),
            Change::Spread { from, to, now_ms, settled_since_ms } => {
                expression.counter_is(SPREAD, (*from).into());
                expression.at_most_one(SPREAD_AT, settled_since_ms);
                expression.set(SPREAD, number_value(to));
                expression.set(SPREAD_AT, number_value(now_ms));
            }
            Change::Begin { settled, delete_after } => {
                let name = expression.name(BEGUN);
                expression.conditions.push(format!("attribute_not_exists({name})"));
                expression.begun();
                expression.add(&SETTLED, settled.signed());
                expression.add(&COMMITTED, settled.signed());
                expression.delete_after(*delete_after);
            }
            Change::Swept { at_ms, next_ms, unbar } => {
                expression.require(SWEEP_AT, "=", at_ms);
                if let Some(next) = next_ms {
                    expression.set(SWEEP_AT, number_value(next));
                } else {
                    expression.counter_is(HELD.requests, 0);
                    expression.counter_is(LEASE_UNTIL, 0);
                    for attribute in [SWEEP, SWEEP_AT] {
                        let name = expression.name(attribute);
                        expression.removes.push(name);
                    }
                }
                for owner in unbar {
                    let name = expression.name(&format!("{BARRED}{owner}"));
                    expression.removes.push(name);
                }
            }
        }
        expression
    }

    /// Takes a hold. The condition is that the execution has no hold and is not barred.
    fn take(&mut self, owner: &str, hold: &Hold) {
        for prefix in [HOLD, BARRED] {
            let name = self.name(&format!("{prefix}{owner}"));
            self.conditions.push(format!("attribute_not_exists({name})"));
        }
        self.set(&format!("{HOLD}{owner}"), AttributeValue::S(hold.to_string()));
        self.add(&HELD, hold.amount.signed());
        self.sweep_by(hold.expires_ms);
    }

    /// The part of a changed lease that is in the scope's own item.
    fn lease(&mut self, change: &Change) {
        let Change::Lease { shards, change, spent, terms, watch, most, delete_after } = change else { return };
        for (names, most) in [(COMMITTED, &most.committed), (HELD, &most.held)] {
            for (unit, attribute) in names.iter() {
                if let Some(most) = most.get(unit) {
                    self.at_most_one(attribute, most);
                }
            }
        }
        self.add(&COMMITTED, *change);
        self.add(&HELD, *change - spent.signed());
        self.add(&SETTLED, spent.signed());
        for (shard, holds) in shards {
            let mark = format!("{SHARD}{shard}");
            if let Some(holds) = holds {
                self.set(&mark, number_value(holds));
            } else {
                let name = self.name(&mark);
                self.removes.push(name);
            }
        }
        if let Some(terms) = terms {
            self.terms_agree(terms);
            self.set_terms(terms);
            self.watch(watch.as_ref());
        }
        self.begun();
        self.add_one(LEASES, 1);
        self.delete_after(*delete_after);
    }

    /// The part of a changed lease that is in the shard. `known` is the shard as it was read. Its amounts may have
    /// grown since then, but not shrunk.
    fn leased(&mut self, change: &Change) {
        let Change::Leased { known, change, terms, until_ms, spread, delete_after } = change else { return };
        let spent = known.settled.signed();
        for (names, known) in [(FREE, known.free), (SETTLED, spent)] {
            for (unit, attribute) in names.iter() {
                let known = *known.get(unit);
                if known != 0 {
                    self.require(attribute, ">=", known);
                }
            }
        }
        if let Some(terms) = &known.terms {
            self.terms_are(terms);
        } else {
            let name = self.name(TERMS);
            self.conditions.push(format!("attribute_not_exists({name})"));
        }
        self.counter_is(LEASE_UNTIL, u64::try_from(known.lease_until_ms).unwrap_or_default());
        if is_emptied(known, *until_ms) {
            self.counter_is(HELD.requests, 0);
            self.counter_is(SETTLED.requests, known.settled.requests);
        }
        for (unit, attribute) in FREE.iter() {
            self.add_one(attribute, *change.get(unit));
        }
        self.add(&SETTLED, -spent);
        if let Some(terms) = terms {
            self.set_terms(terms);
        }
        self.set(LEASE_UNTIL, number_value(until_ms));
        self.set(SPREAD, number_value(spread));
        if *until_ms > 0 {
            self.sweep_by(*until_ms);
        }
        self.delete_after(*delete_after);
    }

    fn name(&mut self, attribute: &str) -> String {
        let existing = self.names.iter().find(|(_, known)| *known == attribute).map(|(name, _)| name.clone());
        existing.unwrap_or_else(|| {
            let name = format!("#n{}", self.names.len());
            self.names.insert(name.clone(), attribute.to_owned());
            name
        })
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value);
        name
    }

    fn number(&mut self, number: impl ToString) -> String {
        self.value(number_value(number))
    }

    fn set(&mut self, attribute: &str, value: AttributeValue) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.sets.push(format!("{name} = {value}"));
    }

    fn delete_after(&mut self, seconds: Option<i64>) {
        if let Some(seconds) = seconds {
            self.set(DELETE_AFTER, number_value(seconds));
        }
    }

    /// Makes the sweep come at `ms` at the latest. An existing time stays, because holds that are taken later expire
    /// later. Without a changed attribute, DynamoDB does not write the index.
    fn sweep_by(&mut self, ms: i64) {
        for (attribute, value) in [(SWEEP, AttributeValue::S(DUE.to_owned())), (SWEEP_AT, number_value(ms))] {
            let (name, value) = (self.name(attribute), self.value(value));
            self.sets.push(format!("{name} = if_not_exists({name}, {value})"));
        }
    }

    fn begun(&mut self) {
        self.set(BEGUN, AttributeValue::Bool(true));
    }

    fn watch(&mut self, watch: Option<&Watch>) {
        if let Some(watch) = watch {
            self.set(WATCH, AttributeValue::S(watch.to_string()));
        } else {
            let name = self.name(WATCH);
            self.removes.push(name);
        }
    }

    fn set_terms(&mut self, terms: &str) {
        self.set(TERMS, AttributeValue::S(terms.to_owned()));
    }

    /// Requires that there are no leases, or that they were made under these limits.
    fn terms_agree(&mut self, terms: &str) {
        let (name, value) = (self.name(TERMS), self.value(AttributeValue::S(terms.to_owned())));
        self.conditions.push(format!("(attribute_not_exists({name}) OR {name} = {value})"));
    }

    fn terms_are(&mut self, terms: &str) {
        let (name, value) = (self.name(TERMS), self.value(AttributeValue::S(terms.to_owned())));
        self.conditions.push(format!("{name} = {value}"));
    }

    /// Adds to counters. A number that is 0 is left out, because an absent counter is 0.
    fn add(&mut self, names: &Names, numbers: PerUnit<i128>) {
        for (unit, attribute) in names.iter() {
            let number = *numbers.get(unit);
            if number != 0 {
                self.add_one(attribute, number);
            }
        }
    }

    fn add_one(&mut self, attribute: &str, number: i128) {
        let (name, value) = (self.name(attribute), self.number(number));
        self.adds.push(format!("{name} {value}"));
    }

    fn at_most(&mut self, names: &Names, bounds: PerUnit<Option<u128>>) {
        for (unit, attribute) in names.iter() {
            if let Some(bound) = bounds.get(unit) {
                self.at_most_one(attribute, bound);
            }
        }
    }

    /// Requires that a counter is at most `bound`. An absent counter is 0, and no bound is negative.
    fn at_most_one(&mut self, attribute: &str, bound: impl ToString) {
        let (name, value) = (self.name(attribute), self.number(bound));
        self.conditions.push(format!("(attribute_not_exists({name}) OR {name} <= {value})"));
    }

    /// Requires that a counter equals `number`. An absent counter is 0.
    fn counter_is(&mut self, attribute: &str, number: u64) {
        if number > 0 {
            self.require(attribute, "=", number);
        } else {
            let (name, value) = (self.name(attribute), self.number(number));
            self.conditions.push(format!("(attribute_not_exists({name}) OR {name} = {value})"));
        }
    }

    fn require(&mut self, attribute: &str, comparison: &str, number: impl ToString) {
        let (name, value) = (self.name(attribute), self.number(number));
        self.conditions.push(format!("{name} {comparison} {value}"));
    }

    fn update(&self) -> String {
        let clause = |word: &str, parts: &[String]| {
            if parts.is_empty() { String::new() } else { format!("{word} {} ", parts.join(", ")) }
        };
        format!("{}{}{}", clause("SET", &self.sets), clause("ADD", &self.adds), clause("REMOVE", &self.removes))
    }

    /// The expression as a single `UpdateItem` call.
    #[must_use]
    pub fn call(
        self,
        call: aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder,
        table: &str,
        key: &Key,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        call.table_name(table)
            .set_key(Some(self::key(key)))
            .update_expression(self.update())
            .set_condition_expression((!self.conditions.is_empty()).then(|| self.conditions.join(" AND ")))
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values))
    }

    /// The expression as part of a transaction.
    ///
    /// # Errors
    /// Never in practice, because every required field of the update is set.
    pub fn action(self, table: &str, key: &Key) -> Result<TransactWriteItem, BuildError> {
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(self::key(key)))
            .update_expression(self.update())
            .set_condition_expression((!self.conditions.is_empty()).then(|| self.conditions.join(" AND ")))
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values))
            .build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

fn number_value(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests;
