//! DynamoDB's maps and values, each with its path for error messages.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Item, Usd};
use crate::number::{dollars, whole};

/// Fields for notes of administrators and their tools. They have no effect.
pub const NOTES: [&str; 5] = ["note", "owner", "updatedBy", "updatedAt", "ttl"];
/// Prefixes of other notes: the administrator's own, and those that AWS writes.
const NOTE_PREFIXES: [&str; 2] = ["_", "aws:"];

/// A field, and the problem with it.
#[derive(Debug)]
pub struct Fault {
    /// The path, such as `limits[1].limit.usd`.
    pub field: String,
    /// The rest of a sentence whose subject is the field.
    pub problem: String,
}

/// A map and its path.
#[derive(Clone, Debug)]
pub struct Map<'i> {
    path: String,
    map: &'i Item,
}

/// A value and its path.
#[derive(Clone, Debug)]
pub struct Value<'i> {
    path: String,
    value: Cow<'i, AttributeValue>,
}

impl<'i> Map<'i> {
    /// The map of a whole item, with an empty path.
    pub const fn root(map: &'i Item) -> Self {
        Self { path: String::new(), map }
    }

    /// The value of `name`. A NULL counts as absent.
    pub fn get(&self, name: &str) -> Option<Value<'i>> {
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        Some(Value { path: self.path_of(name), value: Cow::Borrowed(value) })
    }

    /// Checks that every name is in `known` or is a note. The error is about the first other name in alphabetical
    /// order, so it is the same every time. `problem` is its text.
    pub fn only(&self, known: &[&str], problem: &str) -> Result<(), Fault> {
        let is_note = |name: &str| NOTES.contains(&name) || NOTE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let given = self.map.iter().filter(|(_, value)| !value.is_null());
        let names = given.map(|(name, _)| name.as_str());
        match names.filter(|name| !known.contains(name) && !is_note(name)).min() {
            Some(unknown) => Err(self.fault(unknown, format!("{problem}; known are {}", known.join(", ")))),
            None => Ok(()),
        }
    }

    /// The fault of the field `name`.
    pub fn fault(&self, name: &str, problem: impl Into<String>) -> Fault {
        Fault { field: self.path_of(name), problem: problem.into() }
    }

    /// The fault of the map as a whole.
    pub fn itself(&self, problem: String) -> Fault {
        Fault { field: self.path.clone(), problem }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl Value<'_> {
    /// The fault of this value.
    pub fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault { field: self.path.clone(), problem: problem.into() }
    }

    /// The text, if the value is a string.
    pub fn as_text(&self) -> Option<&str> {
        self.value.as_s().ok().map(String::as_str)
    }

    /// `true` if the value has no order.
    pub fn is_set(&self) -> bool {
        matches!(*self.value, AttributeValue::Ss(_) | AttributeValue::Ns(_))
    }

    /// The value as a map. The error gives `example`.
    pub fn map(&self, example: &str) -> Result<Map<'_>, Fault> {
        match &*self.value {
            AttributeValue::M(map) => Ok(Map { path: self.path.clone(), map }),
            _ => Err(self.fault(format!("must be a map such as {example}"))),
        }
    }

    /// The values of a list or a set, at least one. A NULL in a list is kept, and parsing it fails.
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

    /// A string that is not empty. `what` describes its content in the error.
    pub fn text(&self, what: &str) -> Result<String, Fault> {
        let text = self.as_text().filter(|text| !text.trim().is_empty());
        text.map(str::to_owned).ok_or_else(|| self.fault(format!("must be a string that says {what}")))
    }

    /// The value as a Boolean.
    pub fn flag(&self) -> Result<bool, Fault> {
        self.value.as_bool().copied().map_err(|_| self.fault("must be true or false"))
    }

    /// The string, parsed. `what` describes the expected value in the error.
    pub fn named<T: FromStr>(&self, what: &str) -> Result<T, Fault> {
        let known = self.as_text().and_then(|text| text.parse().ok());
        known.ok_or_else(|| self.fault(format!("must be {what}")))
    }

    /// The meaning of the string, by `known`.
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

    /// A number of dollars.
    pub fn dollars(&self) -> Result<Usd, Fault> {
        dollars(&self.value)
            .ok_or_else(|| self.fault("must be a number of dollars (not a string) from 0 to 9007199254"))
    }
}
