//! Writes changes as update expressions of DynamoDB.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use sentry_domain::{Amount, PerUnit};

use crate::alert::Watch;
use crate::attributes::{
    self, Attributes, BARRED, BEGUN, BUSY, CALLS, COMMITTED, DELETE_AFTER, DUE, FREE, HELD, HOLD, LEASE_UNTIL, LEASES,
    Names, SETTLED, SHARD, SPREAD, SPREAD_AT, SWEEP, SWEEP_AT, TERMS, WATCH,
};
use crate::change::{Change, is_emptied};
use crate::item::Hold;
use crate::key::Key;

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
                expression.settle(owner, hold, actual, *shard, *lasted_ms);
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
            Change::NextLook { at_ms, next_ms, is_unheld, unbar } => {
                expression.next_look(*at_ms, *next_ms, *is_unheld, unbar);
            }
        }
        expression
    }

    /// Takes a hold. The condition is that the execution has no hold and is not barred, and that the sweep does not come
    /// later than the hold expires.
    fn take(&mut self, owner: &str, hold: &Hold) {
        for prefix in [HOLD, BARRED] {
            let name = self.name(&format!("{prefix}{owner}"));
            self.conditions.push(format!("attribute_not_exists({name})"));
        }
        let (sweep_at, expires) = (self.name(SWEEP_AT), self.value(number_value(hold.expires_ms)));
        self.conditions.push(format!("(attribute_not_exists({sweep_at}) OR {sweep_at} <= {expires})"));
        self.set(&format!("{HOLD}{owner}"), AttributeValue::S(hold.to_string()));
        self.add(&HELD, hold.amount.signed());
        self.sweep_by(hold.expires_ms);
    }

    fn settle(&mut self, owner: &str, hold: &Hold, actual: &Amount, shard: bool, lasted_ms: Option<u64>) {
        let name = self.name(&format!("{HOLD}{owner}"));
        let stored = self.value(AttributeValue::S(hold.to_string()));
        self.conditions.push(format!("{name} = {stored}"));
        self.removes.push(name);
        let (held, used) = (hold.amount.signed(), actual.signed());
        self.add(&HELD, -held);
        self.add(&SETTLED, used);
        if shard {
            self.add(&FREE, held - used);
        } else {
            self.add(&COMMITTED, used - held);
        }
        if let Some(lasted) = lasted_ms {
            self.add_one(CALLS, 1);
            self.add_one(BUSY, lasted.into());
        }
    }

    fn next_look(&mut self, at_ms: i64, next_ms: Option<i64>, is_unheld: bool, unbar: &[String]) {
        self.require(SWEEP_AT, "=", at_ms);
        if is_unheld || next_ms.is_none() {
            self.counter_is(HELD.requests, 0);
        }
        if let Some(next) = next_ms {
            self.set(SWEEP_AT, number_value(next));
        } else {
            self.counter_is(LEASE_UNTIL, 0);
            for attribute in [SWEEP, SWEEP_AT] {
                let name = self.name(attribute);
                self.removes.push(name);
            }
        }
        for owner in unbar {
            let name = self.name(&format!("{BARRED}{owner}"));
            self.removes.push(name);
        }
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

    /// Makes the sweep come at `ms` if it has no time to come yet. An existing time stays. Without a changed attribute,
    /// DynamoDB does not write the index.
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
            .set_key(Some(attributes::key(key)))
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
            .set_key(Some(attributes::key(key)))
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
