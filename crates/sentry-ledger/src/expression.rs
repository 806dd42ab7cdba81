//! Items and changes as DynamoDB writes them.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use sentry_domain::Amount;

use crate::change::Change;
use crate::item::{Item, difference, signed, unsigned};
use crate::key::Key;

/// Prefix of a hold's attribute; the request id follows.
const HOLD: &str = "h#";
/// Prefix of the attribute that marks a sent alert; the threshold follows.
const ALERT: &str = "a#";
/// Prefix of the attribute that marks a shard with a lease; its number follows.
const SHARD: &str = "s#";
/// The limits that a lease was made under.
const TERMS: &str = "terms";
/// How often a lease was made, renewed or called back.
const LEASES: &str = "leases";
/// Until when a lease may be used, in milliseconds since 1970.
const LEASE_UNTIL: &str = "leaseUntilMs";
/// When DynamoDB may delete the item, in seconds since 1970.
const DELETE_AFTER: &str = "expiresAt";
/// How many holds were settled by their requests.
const CALLS: &str = "calls";
/// How long these lasted together, in milliseconds.
const BUSY: &str = "busyMs";

/// A counter of an item, in the order of [`Unit::ALL`].
type Names = [&'static str; 3];

const SETTLED: Names = ["settledInput", "settledOutput", "settledUsd"];
const HELD: Names = ["heldInput", "heldOutput", "heldUsd"];
const COMMITTED: Names = ["committedInput", "committedOutput", "committedUsd"];
const FREE: Names = ["freeInput", "freeOutput", "freeUsd"];

/// An item's attributes.
pub type Attributes = HashMap<String, AttributeValue>;

/// Reads an item; attributes that it does not know are left alone.
///
/// # Errors
/// The name of an attribute that is not what the ledger writes.
pub fn read(attributes: &Attributes) -> Result<Item, String> {
    let mut item = Item {
        settled: unsigned(numbers(attributes, SETTLED)?),
        held: unsigned(numbers(attributes, HELD)?),
        free: numbers(attributes, FREE)?,
        calls: number(attributes, CALLS)?,
        busy_ms: number(attributes, BUSY)?,
        leases: number(attributes, LEASES)?,
        lease_until_ms: number(attributes, LEASE_UNTIL)?,
        ..Item::default()
    };
    item.terms = attributes.get(TERMS).and_then(|terms| terms.as_s().ok()).cloned();
    for (name, value) in attributes {
        let wrong = || name.clone();
        if let Some(id) = name.strip_prefix(HOLD) {
            let hold = value.as_s().ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
            item.holds.insert(id.to_owned(), hold);
        } else if let Some(threshold) = name.strip_prefix(ALERT) {
            item.alerted.insert(threshold.parse().map_err(|_| wrong())?);
        } else if let Some(shard) = name.strip_prefix(SHARD) {
            item.shards.insert(shard.parse().map_err(|_| wrong())?);
        }
    }
    Ok(item)
}

fn numbers(attributes: &Attributes, names: Names) -> Result<[i128; 3], String> {
    let [input, output, usd] = names;
    Ok([number(attributes, input)?, number(attributes, output)?, number(attributes, usd)?])
}

/// A counter that is not there is 0: DynamoDB's `ADD` creates it.
fn number<T: std::str::FromStr + Default>(attributes: &Attributes, name: &str) -> Result<T, String> {
    match attributes.get(name) {
        None => Ok(T::default()),
        Some(value) => value.as_n().ok().and_then(|text| text.parse().ok()).ok_or_else(|| name.to_owned()),
    }
}

/// An update expression in the making.
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
    /// The change as an expression.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        let mut expression = Self::default();
        match change {
            Change::Take { id, hold, bounds, terms, delete_after } => {
                let name = expression.name(&format!("{HOLD}{id}"));
                expression.conditions.push(format!("attribute_not_exists({name})"));
                expression.terms_agree(terms);
                expression.at_most(COMMITTED, bounds.committed);
                expression.at_most(HELD, bounds.held);
                expression.set(name, AttributeValue::S(hold.to_string()));
                expression.delete_after(*delete_after);
                expression.add(HELD, signed(&hold.amount));
                expression.add(COMMITTED, signed(&hold.amount));
            }
            Change::Draw { id, hold, limited, terms, now_ms } => {
                let name = expression.name(&format!("{HOLD}{id}"));
                expression.conditions.push(format!("attribute_not_exists({name})"));
                expression.terms_are(terms);
                let (until, now) = (expression.name(LEASE_UNTIL), expression.number(*now_ms));
                expression.conditions.push(format!("{until} > {now}"));
                let needed = signed(&hold.amount);
                for ((attribute, needed), limited) in FREE.into_iter().zip(needed).zip(limited) {
                    if *limited {
                        expression.at_least(attribute, needed);
                    }
                }
                expression.set(name, AttributeValue::S(hold.to_string()));
                expression.add(HELD, needed);
                expression.add(FREE, needed.map(|number| -number));
            }
            Change::Settle { id, hold, actual, shard, lasted_ms } => {
                let name = expression.name(&format!("{HOLD}{id}"));
                let stored = expression.value(AttributeValue::S(hold.to_string()));
                expression.conditions.push(format!("{name} = {stored}"));
                expression.removes.push(name);
                let (held, used) = (signed(&hold.amount), signed(actual));
                expression.add(HELD, held.map(|number| -number));
                expression.add(SETTLED, used);
                if *shard {
                    expression.add(FREE, difference(held, used));
                } else {
                    expression.add(COMMITTED, difference(used, held));
                }
                if let Some(lasted) = lasted_ms {
                    expression.add_one(CALLS, 1);
                    expression.add_one(BUSY, (*lasted).into());
                }
            }
            Change::Lease { shard, change, spent, most, terms, delete_after } => {
                let mut lease = Self::lease(*shard, *change, spent, *most, *delete_after);
                if let Some(terms) = terms {
                    lease.terms_agree(terms);
                    lease.set_terms(terms);
                }
                return lease;
            }
            Change::Agree { leases, terms } => {
                let (name, value) = (expression.name(LEASES), expression.number(*leases));
                expression.conditions.push(format!("{name} = {value}"));
                expression.set_terms(terms);
            }
            Change::Leased { known, change, terms, until_ms, delete_after } => {
                return Self::leased(known, *change, terms, *until_ms, *delete_after);
            }
        }
        expression
    }

    /// What a scope's own item sees of a lease that is renewed: `change` is leased beside what was (or given back, where it is
    /// negative), and `spent` is handed over.
    fn lease(shard: u8, change: [i128; 3], spent: &Amount, most: [[Option<i128>; 3]; 2], delete_after: i64) -> Self {
        let mut expression = Self::default();
        for (names, most) in [COMMITTED, HELD].into_iter().zip(most) {
            for (attribute, most) in names.into_iter().zip(most) {
                if let Some(most) = most {
                    expression.at_most_one(attribute, most);
                }
            }
        }
        expression.add(COMMITTED, change);
        expression.add(HELD, difference(change, signed(spent)));
        expression.add(SETTLED, signed(spent));
        let mark = expression.name(&format!("{SHARD}{shard}"));
        let one = expression.number(1);
        expression.sets.push(format!("{mark} = {one}"));
        expression.add_one(LEASES, 1);
        expression.delete_after(delete_after);
        expression
    }

    /// What the shard sees of it. `known` is what it was read as: it may since have got more back, not less.
    fn leased(known: &Item, change: [i128; 3], terms: &str, until_ms: i64, delete_after: i64) -> Self {
        let mut expression = Self::default();
        for (attribute, free) in FREE.into_iter().zip(known.free) {
            if free != 0 {
                expression.at_least(attribute, free);
            }
        }
        let settled = signed(&known.settled);
        for (attribute, spent) in SETTLED.into_iter().zip(settled) {
            if spent != 0 {
                expression.at_least(attribute, spent);
            }
        }
        match &known.terms {
            Some(terms) => expression.terms_are(terms),
            None => {
                let name = expression.name(TERMS);
                expression.conditions.push(format!("attribute_not_exists({name})"));
            }
        }
        expression.add(FREE, change);
        expression.add(SETTLED, settled.map(|number| -number));
        expression.set_terms(terms);
        let (until, value) = (expression.name(LEASE_UNTIL), expression.number(until_ms));
        expression.sets.push(format!("{until} = {value}"));
        expression.delete_after(delete_after);
        expression
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
        self.value(AttributeValue::N(number.to_string()))
    }

    fn set(&mut self, name: String, value: AttributeValue) {
        let value = self.value(value);
        self.sets.push(format!("{name} = {value}"));
    }

    fn delete_after(&mut self, seconds: i64) {
        let (name, value) = (self.name(DELETE_AFTER), self.number(seconds));
        self.sets.push(format!("{name} = {value}"));
    }

    fn set_terms(&mut self, terms: &str) {
        let name = self.name(TERMS);
        self.set(name, AttributeValue::S(terms.to_owned()));
    }

    /// There are no leases, or they were made under these limits.
    fn terms_agree(&mut self, terms: &str) {
        let (name, value) = (self.name(TERMS), self.value(AttributeValue::S(terms.to_owned())));
        self.conditions.push(format!("(attribute_not_exists({name}) OR {name} = {value})"));
    }

    fn terms_are(&mut self, terms: &str) {
        let (name, value) = (self.name(TERMS), self.value(AttributeValue::S(terms.to_owned())));
        self.conditions.push(format!("{name} = {value}"));
    }

    /// Adds to counters, also nothing, so that an item has them all from its first write on.
    fn add(&mut self, names: Names, numbers: [i128; 3]) {
        for (attribute, number) in names.into_iter().zip(numbers) {
            self.add_one(attribute, number);
        }
    }

    fn add_one(&mut self, attribute: &str, number: i128) {
        let (name, value) = (self.name(attribute), self.number(number));
        self.adds.push(format!("{name} {value}"));
    }

    fn at_most(&mut self, names: Names, bounds: [Option<u128>; 3]) {
        for (attribute, bound) in names.into_iter().zip(bounds) {
            if let Some(bound) = bound {
                self.at_most_one(attribute, bound);
            }
        }
    }

    /// A counter that is not there yet is 0, and no bound that is asked for is below that.
    fn at_most_one(&mut self, attribute: &str, bound: impl ToString) {
        let (name, value) = (self.name(attribute), self.number(bound));
        self.conditions.push(format!("(attribute_not_exists({name}) OR {name} <= {value})"));
    }

    fn at_least(&mut self, attribute: &str, bound: i128) {
        let (name, value) = (self.name(attribute), self.number(bound));
        self.conditions.push(format!("{name} >= {value}"));
    }

    fn update(&self) -> String {
        let clause = |word: &str, parts: &[String]| {
            if parts.is_empty() { String::new() } else { format!("{word} {} ", parts.join(", ")) }
        };
        format!("{}{}{}", clause("SET", &self.sets), clause("ADD", &self.adds), clause("REMOVE", &self.removes))
    }

    /// The expression as a call of its own.
    #[must_use]
    pub fn call(
        self,
        call: aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder,
        table: &str,
        key: &Key,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        call.table_name(table)
            .set_key(Some(key.attributes()))
            .update_expression(self.update())
            .set_condition_expression((!self.conditions.is_empty()).then(|| self.conditions.join(" AND ")))
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values))
    }

    /// The expression as a part of a transaction.
    ///
    /// # Errors
    /// Never in practice: everything that an update must have is set.
    pub fn action(self, table: &str, key: &Key) -> Result<TransactWriteItem, BuildError> {
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key.attributes()))
            .update_expression(self.update())
            .set_condition_expression((!self.conditions.is_empty()).then(|| self.conditions.join(" AND ")))
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values))
            .build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}
