//! DynamoDB's maps and values with their paths, so that what is wrong is named.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Item, Usd};
use crate::number::{dollars, whole};

/// What admins and their tools note beside a setting; it decides nothing.
const NOTES: [&str; 5] = ["note", "owner", "updatedBy", "updatedAt", "ttl"];
/// What names of other notes begin with: the admin's own, and those that AWS writes.
const NOTE_PREFIXES: [&str; 2] = ["_", "aws:"];

/// A field and what is wrong with it.
#[derive(Debug)]
pub struct Fault {
    /// Such as `limits[1].limit.usd`.
    pub field: String,
    /// The rest of a sentence that begins with the field.
    pub problem: String,
}

/// A map and its path.
#[derive(Clone, Debug)]
pub struct Map<'i> {
    path: String,
    map: &'i Item,
}

/// A value that is not NULL, and its path.
#[derive(Clone, Debug)]
pub struct Value<'i> {
    path: String,
    value: Cow<'i, AttributeValue>,
}

impl<'i> Map<'i> {
    /// An item.
    pub const fn root(map: &'i Item) -> Self {
        Self { path: String::new(), map }
    }

    /// The value of `name`; NULL is no value.
    pub fn get(&self, name: &str) -> Option<Value<'i>> {
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        Some(Value { path: self.path_of(name), value: Cow::Borrowed(value) })
    }

    /// Whether every name is one of `known`, or a note; if not, `problem` says what the first by the alphabet is not, so that a map with
    /// several is named alike every time.
    pub fn only(&self, known: &[&str], problem: &str) -> Result<(), Fault> {
        let is_note = |name: &str| NOTES.contains(&name) || NOTE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let given = self.map.iter().filter(|(_, value)| !value.is_null());
        let names = given.map(|(name, _)| name.as_str());
        match names.filter(|name| !known.contains(name) && !is_note(name)).min() {
            Some(unknown) => Err(self.fault(unknown, format!("{problem}; known are {}", known.join(", ")))),
            None => Ok(()),
        }
    }

    /// What is wrong with the field `name`.
    pub fn fault(&self, name: &str, problem: impl Into<String>) -> Fault {
        Fault { field: self.path_of(name), problem: problem.into() }
    }

    /// What is wrong with the map as a whole.
    pub fn itself(&self, problem: String) -> Fault {
        Fault { field: self.path.clone(), problem }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl Value<'_> {
    /// What is wrong with the value.
    pub fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault { field: self.path.clone(), problem: problem.into() }
    }

    /// The string.
    pub fn as_text(&self) -> Option<&str> {
        self.value.as_s().ok().map(String::as_str)
    }

    /// Whether it has no order.
    pub fn is_set(&self) -> bool {
        matches!(*self.value, AttributeValue::Ss(_) | AttributeValue::Ns(_))
    }

    /// The map, such as `example`.
    pub fn map(&self, example: &str) -> Result<Map<'_>, Fault> {
        match &*self.value {
            AttributeValue::M(map) => Ok(Map { path: self.path.clone(), map }),
            _ => Err(self.fault(format!("must be a map such as {example}"))),
        }
    }

    /// The values of a list or a set, of which there is one at least; a NULL among them is a value that is missing.
    pub fn list(&self, what: &str) -> Result<Vec<Value<'_>>, Fault> {
        let values: Vec<Cow<'_, AttributeValue>> = match &*self.value {
            AttributeValue::L(list) => list.iter().map(Cow::Borrowed).collect(),
            AttributeValue::Ss(set) => set.iter().cloned().map(AttributeValue::S).map(Cow::Owned).collect(),
            AttributeValue::Ns(set) => set.iter().cloned().map(AttributeValue::N).map(Cow::Owned).collect(),
            _ => Vec::new(),
        };
        if values.is_empty() {
            return Err(self.fault(format!("must be a list of {what}")));
        }
        let at = |position| format!("{}[{position}]", self.path);
        Ok(values.into_iter().enumerate().map(|(position, value)| Value { path: at(position), value }).collect())
    }

    /// A string that is not empty and says `what`.
    pub fn text(&self, what: &str) -> Result<String, Fault> {
        let text = self.as_text().filter(|text| !text.trim().is_empty());
        text.map(str::to_owned).ok_or_else(|| self.fault(format!("must be a string that says {what}")))
    }

    /// True or false.
    pub fn flag(&self) -> Result<bool, Fault> {
        self.value.as_bool().copied().map_err(|_| self.fault("must be true or false"))
    }

    /// The string, read as `what`.
    pub fn named<T: FromStr>(&self, what: &str) -> Result<T, Fault> {
        let known = self.as_text().and_then(|text| text.parse().ok());
        known.ok_or_else(|| self.fault(format!("must be {what}")))
    }

    /// What the string means among `known`.
    pub fn one_of<T: Copy>(&self, known: &[(&str, T)]) -> Result<T, Fault> {
        let found = known.iter().find(|(name, _)| self.as_text() == Some(name));
        let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
        found.map(|(_, meant)| *meant).ok_or_else(|| self.fault(format!("must be one of the strings {}", names())))
    }

    /// A whole number from `least` to `most`.
    pub fn count(&self, least: u64, most: u64) -> Result<u64, Fault> {
        let written: &dyn Display = if most == 1 << 53 { &"2^53" } else { &most };
        whole(&self.value, most)
            .filter(|number| *number >= least)
            .ok_or_else(|| self.fault(format!("must be a whole number (not a string) from {least} to {written}")))
    }

    /// An amount of dollars.
    pub fn dollars(&self) -> Result<Usd, Fault> {
        dollars(&self.value)
            .ok_or_else(|| self.fault("must be a number of dollars (not a string) from 0 to 9007199254"))
    }
}
